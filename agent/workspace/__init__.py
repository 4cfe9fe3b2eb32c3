"""The sandboxes of a run, and what the repository needs to run its tests."""
