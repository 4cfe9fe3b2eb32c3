"""Text that is safe to print, and the words for states of a run."""
