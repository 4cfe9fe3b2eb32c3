"""Running tests in a sandbox and reading their results."""
