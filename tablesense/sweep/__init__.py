"""Sweeps of Weights & Biases: checked before they start, and run without its server."""
