"""The command that serves other assistants: mcp."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reapair.agent.surfaces.cli.common import app, fail
from reapair.agent.surfaces.cli.options import Given, command


@command(app, settings=("base_url", "model", "sandbox"))
def mcp(
    given: Given,
    root: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder with repositories; may be repeated.", show_default="the client's"
        ),
    ] = None,
    allow_apply: Annotated[bool, typer.Option(help="Let the client change work trees.")] = False,
) -> None:
    """Serve other assistants on standard input and output by the Model Context Protocol."""
    try:
        from reapair.agent.surfaces.mcp_server import Worker, make_server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        fail(2, "The package mcp is missing. Install it: pip install 'reapair[mcp]'")
    worker = Worker(root or [], {name: value for name, value in given.items() if value})
    make_server(worker, allow_apply=allow_apply).run("stdio")
