"""Evaluation: held-out strips inspected, evidence kept, findings made of it."""
