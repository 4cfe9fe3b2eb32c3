"""What people and programs use: command line, terminal, report, GitHub, API."""
