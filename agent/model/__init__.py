"""The model: a client for servers people run themselves, and what keeps a turn from being lost."""
