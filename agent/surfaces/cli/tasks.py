"""The command that makes benchmark tasks out of a repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reapair.agent.surfaces.cli.common import app, fail, group, settings_from, short
from reapair.agent.surfaces.cli.options import Given, command

tasks = group()
app.add_typer(tasks, name="tasks", help="Make benchmark tasks of your own: agent tasks make REPO.")


@tasks.callback()
def _group() -> None:
    """Keep `make` a word of its own while it is the only one."""


@command(tasks, settings=("setup_command", "test_command", "sandbox", "image"))
def make(
    given: Given,
    repository: Annotated[Path, typer.Argument(help="A Python repository with tests.")],
    out: Annotated[Path, typer.Option(help="Directory for the tasks.")] = Path("tasks"),
    count: Annotated[int, typer.Option(min=1, help="How many tasks.")] = 10,
    seed: Annotated[int, typer.Option(help="Decides which bugs.")] = 1,
) -> None:
    """Put bugs into a repository that its tests notice, each as a task for agent eval."""
    from reapair.agent.lab.tasks.make import make_tasks

    settings = settings_from(given)

    def say(line: str) -> None:
        typer.echo(line, err=True)

    made = make_tasks(repository, out, count, seed, settings, say)
    typer.echo(f"{len(made)} of {count} tasks in {short(out.resolve())}")
    if not made:
        fail(1, "No bug was noticed by the tests. Try another --seed.")
