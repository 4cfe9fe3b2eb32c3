"""What tree-sitter tells about source code in eleven languages: definitions, uses, a map."""
