"""GitHub: an issue in, a draft pull request out."""
