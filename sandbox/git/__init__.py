"""Git on untrusted repositories: snapshots in, patches out."""
