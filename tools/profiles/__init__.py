"""Other sets of tools: SWE-smith's, and functions of the caller's own."""
