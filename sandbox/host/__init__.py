"""Sandboxes in a directory of the host: by bubblewrap, or without isolation."""
