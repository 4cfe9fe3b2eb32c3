"""The command that shows the settings: config."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reapair.agent.surfaces.cli.common import app
from reapair.agent.surfaces.cli.options import command

if TYPE_CHECKING:
    from reapair.agent.settings.sources import Loaded


@command(app)
def config(
    json: Annotated[bool, typer.Option("--json", help="One JSON object per setting.")] = False,
) -> None:
    """Show each setting, its value here, and where that comes from."""
    from json import dumps

    from reapair.agent.settings.sources import load

    loaded = load(Path.cwd())
    rows = [(name, _shown(loaded, name), origin) for name, origin in loaded.origins.items()]
    if json:
        for name, value, origin in rows:
            typer.echo(dumps({"name": name, "value": value, "origin": origin}))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from reapair.agent.surfaces.console import clean

    table = Table("setting", "value", "from", box=None)
    for name, value, origin in rows:
        shown = "" if value is None else clean(str(value))
        table.add_row(*(Text(cell) for cell in (name, shown, origin)))
    Console().print(table)


def _shown(loaded: Loaded, name: str) -> Any:
    """Return a value as it may be shown: of secrets, only whether they are set."""
    from reapair.sandbox.gateway.addresses import public_url

    if name in ("api_key", "headers"):
        return "set" if getattr(loaded.settings, name) else "not set"
    value = loaded.settings.model_dump(mode="json", include={name})[name]
    return public_url(value) if name == "base_url" and value else value
