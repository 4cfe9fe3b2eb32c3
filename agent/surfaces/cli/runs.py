"""Commands on the runs that are kept: runs, show, report, apply, undo, clean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reapair.agent.surfaces.cli.common import RunId, app, fail, find_run, settings_from, short
from reapair.agent.surfaces.cli.options import command

if TYPE_CHECKING:
    from collections.abc import Callable

_UNITS = {"d": 86_400, "h": 3_600, "m": 60}


@command(app)
def runs(
    attempts: Annotated[bool, typer.Option("--attempts", help="Attempts, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per run.")] = False,
) -> None:
    """List the runs that are kept, the latest first."""
    from reapair.agent.log.listing import summaries
    from reapair.agent.surfaces.console import show_runs

    show_runs(summaries(settings_from({}, here=False).runs, attempts=attempts), as_json=json)


@command(app)
def show(
    run_id: RunId,
    tokens: Annotated[bool, typer.Option(help="What each request cost.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The events as they are stored.")] = False,
) -> None:
    """Show a run again: its steps, its diff, its verdict."""
    from reapair.agent.surfaces.console import show_run

    directory = find_run(run_id)
    show_run(directory, short(directory), tokens=tokens, as_json=json)


@command(app)
def report(
    run_id: RunId,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write a run's page, report.html, again, and say where it is."""
    from reapair.agent.surfaces.report import write_report

    directory = find_run(run_id)
    try:
        page = write_report(directory)
    except OSError as error:
        fail(1, f"{directory / 'report.html'} cannot be written: {error}. Free or mend it.")
    typer.echo(page)
    if open_:
        import webbrowser

        if not webbrowser.open(page.as_uri()):
            fail(1, "There is no browser here to open it with. Open the file above.")


@command(app)
def apply(
    run_id: RunId,
) -> None:
    """Put a run's change into the work tree it came from."""
    from reapair.agent.handover.git_handover import apply_to_work_tree

    _change_by_run(run_id, apply_to_work_tree, "applied to")


@command(app)
def undo(
    run_id: RunId,
) -> None:
    """Take a run's change out of the work tree again."""
    from reapair.agent.handover.git_handover import take_back

    _change_by_run(run_id, take_back, "taken back from")


def _change_by_run(run_id: str, change: Callable[[Path, bytes], None], said: str) -> None:
    """Change the work tree of a run's repository by its patch."""
    from reapair.agent.log.event_log import read_events
    from reapair.agent.log.formats import RunStarted

    directory = find_run(run_id)
    patch = directory / "patch.diff"
    events = read_events(directory)
    if not (events and patch.is_file()):
        fail(2, f"Run {directory.name} has not made a change.")
    repository = Path(events[0].read(RunStarted).repository)
    change(repository, patch.read_bytes())
    typer.echo(f"The change was {said} {short(repository)}.")


@command(app)
def clean(
    older_than: Annotated[
        str, typer.Option(help="Since a run's last event: 30d, 12h, 90m.")
    ] = "30d",
) -> None:
    """Remove old runs; none that is at work."""
    from reapair.agent.log.listing import clean as clean_runs

    removed = clean_runs(_seconds(older_than), settings_from({}, here=False).runs)
    typer.echo(f"{len(removed)} {'run' if len(removed) == 1 else 'runs'} removed")


def _seconds(age: str) -> float:
    """Read an age like 30d, 12h or 90m; a bare number means days."""
    number, unit = (age[:-1], age[-1]) if age[-1:] in _UNITS else (age, "d")
    try:
        seconds = float(number) * _UNITS[unit]
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        fail(2, f"--older-than: {age} is no age. Give one like 30d, 12h or 90m.")
    return seconds
