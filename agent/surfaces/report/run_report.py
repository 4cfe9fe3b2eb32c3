"""Gathers what the page of a run says, and writes it into the run's directory."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reapair.agent.log import formats
from reapair.agent.surfaces.report.page import HERE, render
from reapair.agent.surfaces.report.story import charts, tell
from reapair.agent.words import run_words as words
from reapair.sandbox.write_whole import write_whole

if TYPE_CHECKING:
    from reapair.agent.log.events import Event
    from reapair.agent.result import Result

FILE_NAME = "report.html"

MOST_DIFF = 4_000
"""Lines of the diff on the page; `patch.diff` has them all."""

_OPTIONS = (
    "model", "attempts", "tools", "max_steps", "max_minutes", "max_tokens", "sandbox", "image",
    "setup_command", "test_command", "include", "test", "accept",
)  # fmt: skip
"""Settings that a repetition needs where they are not the usual ones."""


def write_report(
    directory: Path, *, events: Sequence[Event] | None = None, result: Result | None = None
) -> Path:
    """Write `report.html` into a run's directory and return its path.

    Args:
        directory: of the run.
        events: of the run, when they are at hand; default: read from its log.
        result: how the run ended; default: as the log says, where it says so.

    Raises RunError when the log is missing or damaged, OSError when the page can't be written.
    """
    from reapair.agent.log.event_log import RunError, read_events
    from reapair.agent.log.turns import finished
    from reapair.agent.result import Result

    events = read_events(directory) if events is None else events
    if not events or events[0].kind != "run_started":
        raise RunError(f"Run {directory.name} was stopped before it began: nothing to report.")
    if result is None and (stored := finished(events)):
        result = Result.model_validate(stored)
    page = render(HERE / "run.html", **_facts(directory, events, result))
    file = directory / FILE_NAME
    write_whole(file, page.encode("utf-8", "replace"))
    return file


def _facts(directory: Path, events: Sequence[Event], result: Result | None) -> dict[str, Any]:
    from reapair.agent.log.event_log import read_events

    started = events[0].data
    told_by = events
    if result and result.choice:
        place = directory.with_name(f"{directory.name}.{result.choice.attempt}")
        told_by = read_events(place) or events
    entries = tell(told_by)
    left_out, files = _diff(directory, result)
    return {
        "run": directory.name,
        "title": words.title(started["issue"]) or "No title",
        "issue": started["issue"],
        "result": result,
        "meaning": words.VERDICTS[result.verdict][1] if result else "",
        "files": files,
        "left_out": left_out,
        "entries": entries,
        "charts": charts(entries),
        "began": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(events[0].ts)),
        "took": words.clock(events[-1].ts - events[0].ts),
        "clock": words.clock,
        "count": words.short_count,
        "environment": _environment(events),
        "commands": words.commands(result, result.repository) if result else [],
        "again": _again(directory, events, result),
    }


def _diff(
    directory: Path, result: Result | None
) -> tuple[int, list[tuple[str, int, int, list[tuple[str, str]]]]]:
    """Return how many lines were left out, and each file: name, lines added, removed, and lines."""
    from reapair.sandbox.git.patch import Patch

    file = directory / "patch.diff"
    patch = words.reading_order(result) if result else ""
    if not patch and file.is_file():
        patch = file.read_text("utf-8", "surrogateescape")
    files, room, left_out = [], MOST_DIFF, 0
    for file_diff in Patch(patch.encode("utf-8", "surrogateescape")).files:
        name = ", ".join(file_diff.paths) or "a file"
        lines = file_diff.part.decode("utf-8", "surrogateescape").rstrip("\n").split("\n")
        body = next((i for i, line in enumerate(lines) if line.startswith("@@")), 0)
        kinds = [_kind(line, i < body) for i, line in enumerate(lines)]
        shown = list(zip(kinds, lines, strict=True))[: max(room, 0)]
        left_out += len(lines) - len(shown)
        room -= len(shown)
        files.append((name, kinds.count("add"), kinds.count("del"), shown))
    return left_out, files


def _kind(line: str, header: bool) -> str:
    return "head" if header else {"+": "add", "-": "del", "@": "hunk"}.get(line[:1], "same")


def _environment(events: Sequence[Event]) -> list[tuple[str, str]]:
    """Return what the run worked with, by name."""
    import platform
    from importlib.metadata import version

    started = events[0].read(formats.RunStarted)
    server = started.server
    rows = [
        ("model", server["model"]),
        ("server", f"{server['kind']} {server['version']} at {server['base_url']}"),
        ("context", f"{server['context_tokens'] or 'unknown'} tokens"),
        ("repository", Path(started.repository).name),
    ]
    for event in events:
        if event.kind == "snapshot":
            snapshot = event.read(formats.SnapshotTaken)
            state = ", with uncommitted changes" if snapshot.dirty else ""
            rows.append(("commit", (snapshot.head or "none yet") + state))
            rows += [("left out", path) for path in snapshot.left_out]
        if event.kind == "environment":
            ready = event.read(formats.EnvironmentReady)
            rows.append(("sandbox", ready.sandbox + _unsafe(ready.sandbox)))
            rows.append(("project", ready.project or "."))
            rows.append(("test command", ready.test_command or "found by itself"))
            rows += [("note", note) for note in ready.notes]
            rows += [("set-up failed", ready.failure)] if ready.failure else []
        if event.kind == "baseline":
            rows.append(("suite as run", event.read(formats.BaselineRun).command))
    machine = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return [*rows, ("program", f"agent {version('reapair')}, {machine}")]


def _unsafe(sandbox: str) -> str:
    return ": commands ran on the user's machine itself" if sandbox == "none" else ""


def _again(
    directory: Path, events: Sequence[Event], result: Result | None
) -> list[tuple[str, str]]:
    """Return how to repeat the proof, and the run: a purpose and a command each."""
    from reapair.agent.settings.settings import Settings

    head = next((e.read(formats.SnapshotTaken).head for e in events if e.kind == "snapshot"), None)
    steps = [("The commit it stood on", f"git checkout {head}")] if head else []
    if result and result.files:
        steps.append(("The change (patch.diff lies beside this page)", "git apply patch.diff"))
        if suite := result.evidence.suite.command:
            steps.append(("The tests of the proof", suite))
    kept = events[0].read(formats.RunStarted).settings
    options = []
    for name in _OPTIONS:
        value = kept.get(name)
        if value is not None and value != Settings.model_fields[name].default:
            flag = f"--{name.replace('_', '-')}"
            values = value if isinstance(value, list) else [value]
            options += [f"{flag} {shlex.quote(str(each))}" for each in values]
    again = " ".join(["agent solve issue.md", *options])
    steps.append(("The whole run; a model may answer otherwise", again))
    return [*steps, ("Everything that was stored of it", f"agent show {directory.name} --json")]
