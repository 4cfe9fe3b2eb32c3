"""Sandboxes in a directory of the host: bubblewrap, or no isolation."""
