"""How a repository says what its tests need, one module for each way of saying it."""
