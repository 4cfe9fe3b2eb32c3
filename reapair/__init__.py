"""Solve issues with a small local model and prove the patches."""
