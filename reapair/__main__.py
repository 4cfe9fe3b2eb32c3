"""`python -m reapair` is the `agent` command."""

from reapair.agent.surfaces.cli import main

if __name__ == "__main__":  # Processes of an evaluation import this module, too.
    main()
