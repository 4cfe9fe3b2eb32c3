"""The `agent` command (also `reapair`). Thin: it reads arguments, calls, shows, exits."""

from __future__ import annotations

import gc
import os
import sys
import threading
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from reapair.agent.surfaces.cli.common import (
    INTERRUPTED,
    READER_GONE,
    app,
    exit_code_of,
    fail,
    leave,
)

# The help lists the commands in the order of their imports.
# isort: off
from reapair.agent.surfaces.cli import (
    solve,
    runs,
    setup,
    serve,
    config,
    evaluate,
    export,
    tasks,
    github,
    mcp,
)
# isort: on

__all__ = [
    "config",
    "evaluate",
    "export",
    "github",
    "main",
    "mcp",
    "runs",
    "serve",
    "setup",
    "solve",
    "tasks",
]


def main() -> None:
    """Run the command line; called by the console scripts and `python -m reapair`."""
    # Imports make objects that stay: looking for garbage among them is a tenth of the start.
    gc.set_threshold(100_000)
    for stream in (sys.stdout, sys.stderr):
        # What no output of this terminal can hold must not end a run.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    if "--debug" not in sys.argv:
        threading.excepthook = lambda args: _warn(args.exc_value)
        sys.unraisablehook = lambda args: _warn(args.exc_value)
    try:
        code = app(standalone_mode=False)
    except BrokenPipeError:
        leave(READER_GONE)
    except typer.Abort:
        fail(1, "Nothing was done.")
    except typer.TyperException as error:
        _fail_usage(error)
    except Exception as error:  # The last line of defence: no traceback for people.
        if expected := exit_code_of(error):
            fail(expected, str(error))
        if "--debug" in sys.argv:
            raise
        said = f"{type(error).__name__}: {error}".rstrip(". ")
        fail(1, f"Internal error: {said}. For more: agent --debug {' '.join(sys.argv[1:2])} ...")
    if code == INTERRUPTED:
        fail(INTERRUPTED, "Stopped.")
    sys.exit(code)


def _warn(error: BaseException | None) -> None:
    """Print in one line an error of a background thread or a finaliser."""
    with suppress(OSError):
        typer.echo(f"warning: {type(error).__name__}: {error}", err=True)


def _fail_usage(error: typer.TyperException) -> NoReturn:
    """Print in one line what is wrong with the command line, and exit."""
    message = error.format_message().replace("Value error, ", "")
    context: typer.Context | None = getattr(error, "ctx", None)
    # The help of a group that was called without a command is shown already, or is the message.
    if not message or "\n" in message or context is None:
        fail(2, message)
    end = "" if message.endswith(("?", ".")) else "."
    fail(2, f"{message}{end} See {context.command_path} --help.")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"agent {version('reapair')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # noqa: ARG001 - its callback has shown it
        bool,
        typer.Option(
            "--version", "-V", help="Show the version.", callback=_show_version, is_eager=True
        ),
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option(
            "-C", help="Work in this folder.", metavar="DIR", show_default="the current one"
        ),
    ] = None,
    debug: Annotated[  # noqa: ARG001 - `main` reads it
        bool, typer.Option("--debug", help="Show tracebacks.")
    ] = False,
) -> None:
    """Options of all commands."""
    if directory is not None:
        try:
            os.chdir(directory)
        except OSError as error:
            fail(2, f"-C: {directory}: {error.strerror}. Name a folder that exists.")
