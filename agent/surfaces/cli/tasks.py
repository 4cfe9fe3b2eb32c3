"""The command that makes benchmark tasks out of a repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reapair.agent.surfaces.cli.common import (
    Image,
    SandboxName,
    SetupCommand,
    TestCommand,
    app,
    fail,
    settings_from,
    short,
)

tasks = typer.Typer(no_args_is_help=True)
app.add_typer(tasks, name="tasks", help="Make benchmark tasks of your own: agent tasks make REPO.")


@tasks.callback()
def _group() -> None:
    """Keep `make` a word of its own while it is the only one."""


@tasks.command()
def make(
    repository: Annotated[Path, typer.Argument(help="A Python repository with tests.")],
    out: Annotated[Path, typer.Option(help="Directory for the tasks.")] = Path("tasks"),
    count: Annotated[int, typer.Option(min=1, help="How many tasks.")] = 10,
    seed: Annotated[int, typer.Option(help="Decides which bugs.")] = 1,
    setup_command: SetupCommand = None,
    test_command: TestCommand = None,
    sandbox: SandboxName = None,
    image: Image = None,
) -> None:
    """Put bugs into a repository that its tests notice, each as a task for agent eval."""
    from reapair.agent.lab.tasks.bugs import NoGeneratorError
    from reapair.agent.lab.tasks.make import TasksError, make_tasks
    from reapair.sandbox import SandboxError

    settings = settings_from(
        {
            "setup_command": setup_command,
            "test_command": test_command,
            "sandbox": sandbox,
            "image": image,
        }
    )

    def say(line: str) -> None:
        typer.echo(line, err=True)

    try:
        made = make_tasks(repository, out, count, seed, settings, say)
    except (NoGeneratorError, TasksError) as error:
        fail(2, str(error))
    except SandboxError as error:
        fail(4, str(error))
    typer.echo(f"{len(made)} of {count} tasks in {short(out.resolve())}")
    if not made:
        fail(1, "No bug was noticed by the tests. Try another --seed.")
