"""Several attempts at one issue, and the choice between them."""
