"""Commands that bring a run to its end: solve, demo, resume, continue, fork."""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from reapair.agent.settings.table import MODEL, RESULT
from reapair.agent.surfaces.cli.common import (
    RunId,
    app,
    fail,
    find_run,
    run_and_show,
    settings_from,
)
from reapair.agent.surfaces.cli.options import (
    ENVIRONMENT,
    LIMITS,
    SERVER,
    Given,
    View,
    command,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from reapair.agent.log.events import Event
    from reapair.agent.loop.cancel import Cancel
    from reapair.agent.result import Result


@command(
    app,
    settings=(
        *SERVER, "prompts", "tools", *ENVIRONMENT, "test", "strategy", "samples", "repairs",
        "attempts", "early_stop", *LIMITS,
        "branch", "patch", "apply", "without_tests", "accept",
    ),
    view=True,
)  # fmt: skip
def solve(
    issue: Annotated[
        str, typer.Argument(help="Text, a file, -, or on GitHub 123, owner/repo#123, an address.")
    ],
    given: Given,
    view: View,
    pr: Annotated[
        bool,
        typer.Option("--pr", help="Open a draft pull request, too.", rich_help_panel=RESULT),
    ] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Start a server if none runs.", rich_help_panel=MODEL)
    ] = False,
) -> None:
    """Solve ISSUE in this git repository and hand over a proved patch.

    Exit codes: 0 proved, 1 internal error, 2 usage, 3 model, 4 sandbox, 5 hand-over failed,
    9 regression-free, 10 unproved, 11 refuted, 12 no change, 130/143 stopped,
    141 nobody reads the output any more.
    """
    text, address = _from_github(issue)
    if pr and not address:
        fail(2, "--pr needs an issue on GitHub: its number, owner/repo#123, or its address.")
    settings = settings_from(given | {"pr": address if pr else None})
    text = text or _read_issue(issue)

    def job(on_event: Callable[[Event], None], cancel: Cancel) -> Result:
        from reapair.agent.model.connect import NoServerError
        from reapair.agent.surfaces.cli.serve import start_one
        from reapair.agent.surfaces.github.pull_request import publish_result
        from reapair.agent.surfaces.report.reported import solve as solve_issue

        solve_it = partial(
            solve_issue,
            text,
            settings=settings,
            on_event=on_event,
            cancel=cancel,
            open_pull_request=publish_result,
        )
        try:
            return solve_it()
        except NoServerError as error:
            start_one(error, asked_for=serve)
            return solve_it()

    run_and_show(job, settings, view)


@command(app, settings=("sandbox",), view=True)
def demo(given: Given, view: View) -> None:
    """Fix a bug in a small repository with a tiny model; both ship with this program."""
    from reapair.agent.demo.play import INTRODUCTION, play

    if not (view.as_json or view.quiet):
        typer.echo(INTRODUCTION)
    settings = settings_from(given, here=False)
    run_and_show(lambda on_event, _: play(on_event, sandbox=settings.sandbox), settings, view)


_OTHERWISE = (*SERVER, "sandbox", *LIMITS)
"""Settings that a run may go on with other values of."""


@command(app, settings=_OTHERWISE, view=True)
def resume(run_id: RunId, given: Given, view: View) -> None:
    """Go on with a run that was stopped, killed, or lost its server.

    What is not given stays as the run was started with.
    """
    _go_on(run_id, None, given, view)


@command(app, "continue", settings=_OTHERWISE, view=True)
def continue_(
    run_id: RunId,
    instruction: Annotated[str, typer.Argument(help="What to do next, in your words.")],
    given: Given,
    view: View,
) -> None:
    """Tell a run that is finished or stopped what to do next; its limits begin anew.

    What is not given stays as the run was started with.
    """
    _go_on(run_id, instruction, given, view)


@command(app, settings=_OTHERWISE, view=True)
def fork(
    run_id: RunId,
    given: Given,
    view: View,
    at: Annotated[int, typer.Option(min=0, help="The last step to take over; 0: none.")],
    instruction: Annotated[
        str | None, typer.Option(help="What to do next, in your words.", show_default="nothing")
    ] = None,
) -> None:
    """Begin a new run as a copy of another one's first steps; that one stays as it is."""
    from reapair.agent.log.fork import fork as fork_run

    copy = fork_run(find_run(run_id), at, settings_from({}, here=False).runs)
    copy.close()
    if not view.as_json:
        typer.echo(f"run {copy.id} goes on from step {at} of {run_id}")
    _go_on(copy.id, instruction, given, view)


def _go_on(run_id: str, instruction: str | None, given: Given, view: View) -> NoReturn:
    """Resume a run, with an instruction or without, and leave with its exit code."""
    directory = find_run(run_id)
    settings = settings_from(given, here=False)
    changes = {name: getattr(settings, name) for name, value in given.items() if value is not None}
    # Keys and headers are never stored.
    changes |= {"api_key": settings.api_key, "headers": settings.headers}

    def job(on_event: Callable[[Event], None], cancel: Cancel) -> Result:
        from reapair.agent.log.event_log import Run
        from reapair.agent.surfaces.github.pull_request import publish_result
        from reapair.agent.surfaces.report.reported import resume as resume_run

        run = Run(directory, directory.name)
        if not view.as_json:
            for event in run.of_kind("run_started"):
                on_event(event)  # So that the screen knows what the run is about.
        return resume_run(
            run,
            instruction=instruction,
            changes=changes,
            on_event=on_event,
            cancel=cancel,
            open_pull_request=publish_result,
        )

    run_and_show(job, settings, view)


def _from_github(issue: str) -> tuple[str, str]:
    """Return text and address of an issue on GitHub; empty where none is meant."""
    if not re.fullmatch(r"(https?://\S+/|[\w.-]+/[\w.-]+#|#)?\d+([?#]\S*)?", issue.strip()):
        return "", ""
    from reapair.agent.surfaces.github.issues import read_issue
    from reapair.agent.surfaces.github.reference import NoSuchPlaceError, parse
    from reapair.agent.surfaces.github.rest_client import GitHub, GitHubError

    try:
        reference = parse(issue, Path.cwd())
        if reference is None:
            return "", ""
        return read_issue(GitHub.at(reference.server), reference), reference.url
    except (GitHubError, NoSuchPlaceError) as error:
        fail(2, str(error))


def _read_issue(issue: str) -> str:
    """Return the issue's text, whichever of the three ways it was given."""
    if issue == "-":
        return sys.stdin.buffer.read().decode("utf-8", "replace")
    try:
        if Path(issue).is_file():
            return Path(issue).read_text("utf-8", "replace")
    except OSError:  # Too long or too odd for a path: then it is text.
        pass
    if " " not in issue.strip() and ("/" in issue or issue.endswith((".md", ".txt"))):
        fail(2, f"There is no file {issue}. Give an existing file, the text itself, or -.")
    return issue
