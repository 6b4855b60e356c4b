"""Evaluation sets of the size and shape of the real ones, for timing."""
