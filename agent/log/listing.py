"""The runs that are kept: listing and reading them, also while they are at work."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reapair.agent.log.event_log import RunError, read_events, remove, runs_directory
from reapair.agent.log.events import Event
from reapair.agent.log.formats import RunStarted
from reapair.agent.log.turns import finished
from reapair.agent.words.run_words import title

State = Literal["running", "finished", "stopped", "unreadable"]


@dataclass(frozen=True, slots=True)
class Summary:
    """One run in a few words. `age` is in seconds since its last event."""

    id: str
    directory: Path
    issue: str
    repository: str
    state: State
    verdict: str
    steps: int
    age: float


def summaries(root: Path | None = None, *, attempts: bool = False) -> Iterator[Summary]:
    """Yield the runs below `root` (default: the user's), the latest first; attempts if asked."""
    places = [
        path
        for path in (root or runs_directory()).glob("*")
        if path.is_dir() and (attempts or "." not in path.name)
    ]
    for directory in sorted(places, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            events = read_events(directory)
        except RunError as error:
            age = time.time() - directory.stat().st_mtime
            yield Summary(directory.name, directory, str(error), "", "unreadable", "", 0, age)
            continue
        if events and events[0].kind == "run_started":
            yield _summary(directory, events)


def _summary(directory: Path, events: list[Event]) -> Summary:
    started, result = events[0].read(RunStarted), finished(events)
    return Summary(
        id=directory.name,
        directory=directory,
        issue=title(started.issue),
        repository=started.repository,
        state="running" if is_held(directory) else "finished" if result else "stopped",
        verdict=result["evidence"]["verdict"] if result else "",
        steps=max(event.step for event in events),
        age=time.time() - events[-1].ts,
    )


def is_held(directory: Path) -> bool:
    """Return whether a process is at work on the run."""
    try:
        with (directory / "lock").open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def find(run_id: str, root: Path | None = None) -> Path:
    """Return the directory of the run whose id begins with `run_id`.

    Raises RunError when there is none, or more than one.
    """
    root = root or runs_directory()
    found = ids(run_id, root)
    # The attempts of a run are named after it: RUN.1, RUN.2.
    if run_id in found or {name.partition(".")[0] for name in found} == set(found[:1]):
        found = [run_id] if run_id in found else found[:1]
    if not found or not run_id:
        raise RunError(f"There is no run {run_id}. See them all with: agent runs")
    if len(found) > 1:
        raise RunError(f"{run_id} could be any of {', '.join(found[:5])}. Give more of the id.")
    return root / found[0]


def ids(beginning: str = "", root: Path | None = None) -> list[str]:
    """Return the ids of the runs below `root` that begin so, sorted."""
    places = (root or runs_directory()).glob("*")
    return sorted(path.name for path in places if path.is_dir() and path.name.startswith(beginning))


def clean(older_than: float, root: Path | None = None) -> list[str]:
    """Remove the runs whose last event is so many seconds old, but none that is at work.

    Returns their ids.
    """
    removed = []
    for summary in summaries(root):
        if summary.state != "running" and summary.age > older_than:
            remove(summary.directory)
            removed.append(summary.id)
    return removed
