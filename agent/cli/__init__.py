"""The `agent` command (also `reapair`). Thin: it reads arguments, calls, shows, exits."""

from __future__ import annotations

import gc
import sys
from typing import Annotated

import typer

from reapair.agent.cli.common import app, fail

# The help lists the commands in the order of their imports.
# isort: off
from reapair.agent.cli import solve, runs, setup, serve, config
# isort: on

__all__ = ["config", "main", "runs", "serve", "setup", "solve"]


def main() -> None:
    """Run the command line; called by the console scripts and `python -m reapair`."""
    # Imports make objects that stay: looking for garbage among them is a tenth of the start.
    gc.set_threshold(100_000)
    try:
        app()
    except Exception as error:  # The last line of defence: no traceback for people.
        if "--debug" in sys.argv:
            raise
        fail(
            1, f"Internal error: {type(error).__name__}: {error}. Run again with --debug for more."
        )


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"agent {installed('reapair')}")
        raise typer.Exit
