"""A trained network in formats that run without torch."""
