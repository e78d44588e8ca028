"""What is kept of a run so that a person can say what was trained, on what, how well and where it fails."""
