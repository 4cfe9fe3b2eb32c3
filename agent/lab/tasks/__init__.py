"""Tasks of one's own: bugs put into a repository that its tests notice."""
