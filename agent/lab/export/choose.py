"""Selects the runs to export, and their format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from reapair.agent.lab.evaluate.records import INSTANCES
from reapair.agent.lab.export.trajectory import Trajectory, read_trajectory
from reapair.agent.log.event_log import runs_directory
from reapair.agent.log.listing import find

Format = Literal["openai", "swe-smith", "atif", "sharegpt"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is exported.

    Attributes:
        resolved: only runs that hidden tests say are right.
        verdicts: only runs with one of these; empty takes all.
        max_tokens: segments that are longer are left out.
        mask_failed: answers whose calls failed get weight 0.
        licence: of the runs whose own files name none.
    """

    resolved: bool = False
    verdicts: frozenset[str] = frozenset()
    max_tokens: int | None = None
    mask_failed: bool = False
    licence: str | None = None


@dataclass(slots=True)
class Export:
    """Counts of what was written and what was left out, by reason."""

    runs: int = 0
    scrubbed: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def run_directories(names: Iterable[str], root: Path | None = None) -> Iterator[Path]:
    """Yield the runs that are meant: ids, run directories, or directories of evaluations.

    Where a run has made several attempts, those are yielded in its place. Raises RunError for a
    name that means nothing.
    """
    for name in names:
        place = Path(name)
        if (place / INSTANCES).is_dir():
            for log in sorted(place.glob(f"{INSTANCES}/*/runs/*/events.jsonl")):
                if "." not in log.parent.name:
                    yield from _attempts(log.parent)
        elif (place / "events.jsonl").is_file():
            yield from _attempts(place)
        else:
            yield from _attempts(find(name, root or runs_directory()))


def _attempts(run: Path) -> list[Path]:
    return sorted(run.parent.glob(f"{run.name}.*")) or [run]


def documents(
    directories: Iterable[Path], form: Format, wanted: Wanted, done: Export
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the document of each segment that is wanted; `done` counts along."""
    module = import_module(f"reapair.agent.lab.export.{form.replace('-', '_')}")
    for directory in directories:
        trajectory = read_trajectory(directory.resolve())
        if trajectory is None:
            done.left_out["not finished, or nobody was asked"] += 1
        elif reason := _unwanted(trajectory, wanted):
            done.left_out[reason] += 1
        else:
            _prepare(trajectory, wanted, done)
            done.runs += bool(trajectory.segments)
            yield from module.documents(trajectory)


def _unwanted(trajectory: Trajectory, wanted: Wanted) -> str:
    """Return why a run is left out; "" when it isn't."""
    if wanted.resolved and not trajectory.resolved:
        return "not resolved"
    if wanted.verdicts and trajectory.verdict not in wanted.verdicts:
        return trajectory.verdict
    return ""


def _prepare(trajectory: Trajectory, wanted: Wanted, done: Export) -> None:
    trajectory.licence = trajectory.licence or wanted.licence
    done.scrubbed += trajectory.declared["scrubbed"]
    if wanted.max_tokens:
        short = [each for each in trajectory.segments if each.tokens <= wanted.max_tokens]
        done.left_out["segments too long"] += len(trajectory.segments) - len(short)
        trajectory.segments = short
    if wanted.mask_failed:
        for turn in (turn for segment in trajectory.segments for turn in segment.turns):
            turn.masked = turn.failed
