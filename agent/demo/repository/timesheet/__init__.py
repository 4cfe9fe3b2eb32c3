"""Hours in a plain text file, added up."""
