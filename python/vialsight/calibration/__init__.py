"""Calibration: scores of a calibration set, thresholds fitted to them."""
