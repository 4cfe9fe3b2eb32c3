"""Commands that look at what a run would need: prepare, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reapair.agent.surfaces.cli.common import (
    ApiKey,
    BaseUrl,
    Debug,
    Image,
    Include,
    ModelName,
    Project,
    SandboxName,
    SetupCommand,
    TestCommand,
    app,
    fail,
    leave,
    settings_from,
)


@app.command()
def prepare(
    project: Project = None,
    include: Include = None,
    setup_command: SetupCommand = None,
    test_command: TestCommand = None,
    image: Image = None,
    sandbox: SandboxName = None,
    shell: Annotated[bool, typer.Option("--shell", help="Then open a shell in it.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The result as one JSON object.")] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Make the environment of this repository and run its tests, without a model.

    Exit code 0 only if at least one test passed, 4 otherwise.
    """
    from reapair.agent.solve import UsageError
    from reapair.agent.surfaces.prepare import prepare_and_show
    from reapair.sandbox import SandboxError

    given = {
        "project": project.absolute() if project else None,
        "include": include,
        "setup_command": setup_command,
        "test_command": test_command,
        "image": image,
        "sandbox": sandbox,
    }
    try:
        ready = prepare_and_show(Path.cwd(), settings_from(given), shell=shell, as_json=json)
    except UsageError as error:
        fail(2, str(error))
    except SandboxError as error:
        fail(4, str(error))
    except KeyboardInterrupt:
        fail(130, "Stopped.")
    leave(0 if ready else 4)


@app.command()
def doctor(
    base_url: BaseUrl = None,
    model: ModelName = None,
    api_key: ApiKey = None,
    image: Image = None,
    sandbox: SandboxName = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per check.")] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Check the model server and the sandbox; exit code 0 only if solve would work."""
    settings = settings_from(
        {
            "base_url": base_url,
            "model": model,
            "api_key": api_key,
            "image": image,
            "sandbox": sandbox,
        }
    )

    from reapair.agent.surfaces.console import show_checks
    from reapair.agent.surfaces.doctor import diagnose

    leave(0 if show_checks(diagnose(settings), as_json=json) else 3)
