"""Start a model server on this machine."""
