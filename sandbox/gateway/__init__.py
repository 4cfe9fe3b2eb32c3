"""The way from a set-up command to the user's package indexes and proxies, without the secrets."""
