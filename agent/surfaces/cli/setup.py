"""Commands that look at what a run would need: prepare, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reapair.agent.surfaces.cli.common import app, leave, settings_from
from reapair.agent.surfaces.cli.options import ENVIRONMENT, SERVER, Given, command


@command(app, settings=ENVIRONMENT)
def prepare(
    given: Given,
    shell: Annotated[bool, typer.Option("--shell", help="Then open a shell in it.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The result as one JSON object.")] = False,
) -> None:
    """Make the environment of this repository and run its tests, without a model.

    Exit code 0 only if at least one test passed, 4 otherwise.
    """
    from reapair.agent.surfaces.prepare import prepare_and_show

    ready = prepare_and_show(Path.cwd(), settings_from(given), shell=shell, as_json=json)
    leave(0 if ready else 4)


@command(app, settings=(*SERVER, "image", "sandbox"))
def doctor(
    given: Given,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per check.")] = False,
) -> None:
    """Check the model server and the sandbox; exit code 0 only if solve would work."""
    settings = settings_from(given)

    from reapair.agent.surfaces.console import show_checks
    from reapair.agent.surfaces.doctor import diagnose

    leave(0 if show_checks(diagnose(settings), as_json=json) else 3)
