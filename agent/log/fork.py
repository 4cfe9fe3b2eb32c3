"""A new run that begins as a copy of another one's first steps."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reapair.agent.log.event_log import Run, RunError, make_private, read_events
from reapair.agent.log.turns import LAST_KINDS

if TYPE_CHECKING:
    from reapair.agent.log.events import Event


def fork(directory: Path, step: int, root: Path | None = None) -> Run:
    """Copy a run up to the end of a step; the copy is resumed like any run, the original stays.

    Args:
        directory: of the original, which may be at work.
        step: the last that is taken over; 0 takes the snapshot and the environment only.
        root: where runs are kept; default: the user's state directory.

    Raises RunError when the run has no such step.
    """
    events = read_events(directory)
    steps = max((event.step for event in events), default=0)
    if not events or events[0].kind != "run_started":
        raise RunError(f"Run {directory.name} was stopped before it began: there is no step yet.")
    if not 0 <= step <= steps:
        raise RunError(f"Run {directory.name} has steps 0 to {steps}; {step} is none of them.")
    run = Run.create(root)
    origin = {"run": directory.name, "step": step, "number": _siblings(run, directory.name) + 1}
    _copy_files(directory, run)
    taken = _up_to(events, step)
    first = replace(taken[0], data={**taken[0].data, "forked_from": origin})
    lines = [replace(event, run=run.id).to_json() + "\n" for event in (first, *taken[1:])]
    # Whole or not at all: a copy that was stopped half-way is a run that never began.
    run.close()
    run.write("events.jsonl", "".join(lines).encode("ascii"))
    return Run(run.directory, run.id)


def _up_to(events: list[Event], step: int) -> list[Event]:
    """Return the events up to the end of a step, without an ending of the run."""
    after = next((n for n, event in enumerate(events) if event.step > step), len(events))
    taken = events[:after]
    while taken and taken[-1].kind in LAST_KINDS:
        taken.pop()
    return taken


def _copy_files(directory: Path, run: Run) -> None:
    # An attempt finds its snapshot and its baseline in its run.
    whole = directory.with_name(directory.name.partition(".")[0])
    for place in (whole / "store", directory / "trees"):
        if place.is_dir():
            make_private(run.directory / place.name)
            shutil.copytree(place, run.directory / place.name, dirs_exist_ok=True)
            make_private(run.directory / place.name)
    if (whole / "baseline.json").is_file():
        run.write("baseline.json", (whole / "baseline.json").read_bytes())


def _siblings(run: Run, origin: str) -> int:
    """Return how many other runs were forked from the same one."""
    found = 0
    for log in run.directory.parent.glob("*/events.jsonl"):
        with log.open("rb") as lines:
            first = lines.readline()
        if b'"forked_from"' in first:
            found += (json.loads(first)["data"]["forked_from"] or {}).get("run") == origin
    return found
