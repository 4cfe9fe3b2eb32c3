"""Give set-up commands the user's package indexes and proxies without their secrets."""
