"""The event log of a run: written once, read by everything else."""
