"""The command that serves other assistants: mcp."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reapair.agent.surfaces.cli.common import BaseUrl, ModelName, SandboxName, app, fail


@app.command()
def mcp(
    root: Annotated[
        list[Path] | None,
        typer.Option(help="Folder with repositories; may be repeated. Default: the client's."),
    ] = None,
    allow_apply: Annotated[bool, typer.Option(help="Let the client change work trees.")] = False,
    base_url: BaseUrl = None,
    model: ModelName = None,
    sandbox: SandboxName = None,
) -> None:
    """Serve other assistants on standard input and output by the Model Context Protocol."""
    try:
        from reapair.agent.surfaces.mcp_server import Worker, make_server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        fail(2, "The package mcp is missing. Install it: pip install 'reapair[mcp]'")
    given = {"base_url": base_url, "model": model, "sandbox": sandbox}
    worker = Worker(root or [], {name: value for name, value in given.items() if value})
    make_server(worker, allow_apply=allow_apply).run("stdio")
