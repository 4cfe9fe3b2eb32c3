"""Runs as training data: one reader of a run's events, and a file for each format."""
