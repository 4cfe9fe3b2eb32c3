"""Commands for continuous integration: github check, solve, publish, install.

What the Action does is nothing but these, so each can be run by hand and by other forges' jobs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from reapair.agent.surfaces.cli.common import app, fail, group, leave, run_and_show, settings_from
from reapair.agent.surfaces.cli.options import View, command

if TYPE_CHECKING:
    from collections.abc import Callable

    from reapair.agent.log.events import Event
    from reapair.agent.loop.cancel import Cancel
    from reapair.agent.result import Result
    from reapair.agent.surfaces.github.event import Trigger
    from reapair.agent.surfaces.github.reference import Reference
    from reapair.agent.surfaces.github.rest_client import GitHub

EVENT_LIMIT = 4 * 1024 * 1024
"""Most bytes of an event file; GitHub's own are far below."""

github_app = group(help="Solve issues in continuous integration.")
app.add_typer(github_app, name="github")

EventFile = Annotated[
    Path | None, typer.Option("--event", help="Event file.", envvar="GITHUB_EVENT_PATH")
]
EventName = Annotated[str, typer.Option(help="Its kind.", envvar="GITHUB_EVENT_NAME")]
Issue = Annotated[str | None, typer.Option(help="This issue, in place of an event.")]
Label = Annotated[str, typer.Option(help="The label that asks for a solution.")]
Opened = Annotated[bool, typer.Option("--opened", help="Solve each new issue, whoever opens it.")]
Folder = Annotated[Path, typer.Argument(help="Folder with the patch and what is known of it.")]
Accept = Annotated[
    Literal["proved", "shown", "regression_free"],
    typer.Option(help="Weakest verdict that is published."),
]

LABEL = "agent"


@command(github_app)
def check(
    event: EventFile = None,
    event_name: EventName = "",
    label: Label = LABEL,
    opened: Opened = False,
) -> None:
    """Check whether an event asks for a solution, and whether its sender may.

    Exit code 0 either way; in a job the outputs `go` and `issue` say it.
    """
    from reapair.agent.surfaces.github.event import NothingToDo, check_sender, settled

    try:
        trigger = _trigger(event, event_name, label, opened)
        github = _github(trigger.reference)
        check_sender(github, trigger)
        trigger = settled(github, trigger)
    except NothingToDo as reason:
        typer.echo(f"nothing to do: {reason}")
        _output(go="false", issue="")
        leave(0)
    except _errors() as error:
        fail(3, str(error))
    typer.echo(f"solve {trigger.reference.url}, as {trigger.sender} asks")
    _output(go="true", issue=str(trigger.reference.number))
    leave(0)


@command(github_app)
def solve(
    folder: Folder,
    issue: Issue = None,
    event: EventFile = None,
    event_name: EventName = "",
    label: Label = LABEL,
    opened: Opened = False,
) -> None:
    """Solve the issue of an event, and put the patch into a new folder; needs no right to write.

    Settings come from the environment (AGENT_*). Exit code 0 whatever the verdict.
    """
    asked = _asked(issue, event, event_name, label, opened)
    settings = settings_from({})

    def job(on_event: Callable[[Event], None], cancel: Cancel) -> Result:
        from reapair.agent.surfaces.github.jobs import solve_job
        from reapair.agent.surfaces.github.words import job_summary

        github = _github(asked)
        try:
            result, facts = solve_job(
                github, asked, Path.cwd(), folder, settings, on_event=on_event, cancel=cancel
            )
        except _errors() as error:
            fail(3, str(error))
        except _nothing() as reason:
            typer.echo(f"nothing to do: {reason}")
            leave(0)
        _summary(job_summary(facts, result.files))
        return result

    run_and_show(job, settings, View(), any_verdict=True)


@command(github_app)
def publish(
    folder: Folder,
    issue: Issue = None,
    event: EventFile = None,
    event_name: EventName = "",
    label: Label = LABEL,
    opened: Opened = False,
    accept: Accept = "proved",
) -> None:
    """Check a folder that `github solve` made, and open or update the draft pull request.

    Runs nothing of the repository. Exit code 5 when GitHub or the branch is in the way.
    """
    from reapair.agent.surfaces.github.jobs import publish_job

    asked = _asked(issue, event, event_name, label, opened)
    github = _github(asked)
    try:
        outcome = publish_job(github, asked, Path.cwd(), folder, accept=accept, run_url=_run_url())
    except _nothing() as reason:
        typer.echo(f"nothing to do: {reason}")
        leave(0)
    except _errors() as error:
        fail(5, str(error))
    typer.echo(outcome.line)
    _summary(outcome.summary)
    leave(0)


@command(github_app)
def install(
    uses: Annotated[
        str, typer.Option(help="Where the reusable workflow is: owner/repo@commit.")
    ] = "",
    label: Label = LABEL,
) -> None:
    """Write the workflow that answers issues, make the label, check the repository's settings."""
    from reapair.agent.surfaces.github.install import InstallError, install_here
    from reapair.agent.surfaces.github.reference import NoSuchPlaceError

    try:
        for line in install_here(Path.cwd(), uses, label):
            typer.echo(line)
    except (InstallError, NoSuchPlaceError) as error:
        fail(2, str(error))
    except _errors() as error:
        fail(3, str(error))


def _trigger(event: Path | None, name: str, label: str, opened: bool) -> Trigger:
    """Read the event. Raises NothingToDo."""
    import json

    from reapair.agent.surfaces.github.event import read_event

    if event is None:
        fail(2, "There is no event. Give --issue 123, or --event FILE and --event-name NAME.")
    try:
        with event.open("rb") as file:
            payload = json.loads(file.read(EVENT_LIMIT))
    except (OSError, ValueError, RecursionError) as error:
        fail(2, f"{event} is no event file ({type(error).__name__}). Give one with --event.")
    repository = os.environ.get("GITHUB_REPOSITORY") or _full_name(payload)
    return read_event(name, payload, label=label, opened=opened, repository=repository)


def _full_name(payload: object) -> str:
    repository = payload.get("repository") if isinstance(payload, dict) else None
    return str(repository.get("full_name")) if isinstance(repository, dict) else ""


def _asked(
    issue: str | None, event: Path | None, name: str, label: str, opened: bool
) -> Trigger | Reference:
    """Return what is asked for, by name or by an event; leave where nothing is."""
    from reapair.agent.surfaces.github.reference import NoSuchPlaceError, parse

    try:
        if issue is None:
            return _trigger(event, name, label, opened)
        if reference := parse(issue, Path.cwd()):
            return reference
    except _nothing() as reason:
        typer.echo(f"nothing to do: {reason}")
        leave(0)
    except NoSuchPlaceError as error:
        fail(2, str(error))
    fail(2, f"--issue: {issue} is no issue. Give 123, owner/repo#123, or its address.")


def _github(asked: Trigger | Reference) -> GitHub:
    from reapair.agent.surfaces.github.reference import NoSuchPlaceError, Reference
    from reapair.agent.surfaces.github.rest_client import GitHub

    reference = asked if isinstance(asked, Reference) else asked.reference
    try:
        return GitHub.at(reference.server)
    except NoSuchPlaceError as error:
        fail(2, str(error))


def _nothing() -> type[Exception]:
    from reapair.agent.surfaces.github.event import NothingToDo

    return NothingToDo


def _errors() -> tuple[type[Exception], ...]:
    from reapair.agent.surfaces.github.artifact import ArtifactError
    from reapair.agent.surfaces.github.publish import PublishError
    from reapair.agent.surfaces.github.rest_client import GitHubError

    return GitHubError, ArtifactError, PublishError


def _run_url() -> str:
    """Return the address of the job this runs in, empty outside of one."""
    parts = [
        os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")
    ]
    return "{}/{}/actions/runs/{}".format(*parts) if all(parts) else ""


def _output(**values: str) -> None:
    """Set outputs of the job's step; the values are ours, on one line each."""
    if file := os.environ.get("GITHUB_OUTPUT"):
        with open(file, "a", encoding="utf-8") as handle:
            handle.writelines(f"{name}={value}\n" for name, value in values.items())


def _summary(markdown: str) -> None:
    """Show something on the job's page."""
    if (file := os.environ.get("GITHUB_STEP_SUMMARY")) and markdown:
        with open(file, "a", encoding="utf-8") as handle:
            handle.write(markdown)
    sys.stdout.flush()
