"""Benchmark instances in, predictions and grades out."""
