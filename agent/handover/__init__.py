"""The end of a run: the patch is handed over, the result written."""
