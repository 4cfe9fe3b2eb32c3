"""Guided solving: the program decides what to do, the model only what to write."""
