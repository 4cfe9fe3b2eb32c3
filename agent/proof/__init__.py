"""The parts of the proof: what a patch changes, what it tampers with, what tests say of it."""
