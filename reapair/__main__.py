"""`python -m reapair` is the `agent` command."""

from reapair.agent.cli import main

main()
