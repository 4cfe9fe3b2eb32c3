"""A model server that answers from a script, over real HTTP."""
