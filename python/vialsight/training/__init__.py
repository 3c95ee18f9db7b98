"""Training: patches in, a run folder and a frozen graph out."""
