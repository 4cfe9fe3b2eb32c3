"""Sandboxes in Docker and podman containers."""
