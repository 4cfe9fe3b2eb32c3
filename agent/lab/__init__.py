"""Evaluation, export for training, and the making of tasks."""
