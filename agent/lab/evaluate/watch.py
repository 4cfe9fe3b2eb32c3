"""Shows an evaluation while it runs: a live table, plain lines, or JSON lines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reapair.agent.lab.evaluate.evaluation import Progress
from reapair.agent.lab.evaluate.records import Record
from reapair.agent.words.terminal_safe import clean, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, RenderableType

_SHOWN = 12
"""Instances at work that the table lists at most."""

_STYLES = {"resolved": "green", "failed": "yellow"}


def print_line(progress: Progress, record: Record | None) -> None:
    """Print one JSON object for each instance that has come to an end."""
    if record:
        facts = {
            "instance": record.instance_id,
            "resolved": record.resolved if record.graded else None,
            "verdict": record.best.verdict if record.best else None,
            "exit_reason": record.best.exit_reason if record.best else None,
            "failure": record.failure,
            "seconds": record.seconds,
            "done": progress.done,
            "total": progress.total,
        }
        print(json.dumps(facts, ensure_ascii=False), flush=True)


def told(record: Record) -> str:
    """Return one line for people on an instance that has come to an end."""
    if not record.graded:
        return f"failed      {record.instance_id}  {one_line(record.failure)[:300]}"
    best = record.best
    grade = best.grade if best else None
    words = [best.verdict or "", best.exit_reason or "", f"{record.seconds:.0f} s"] if best else []
    if grade and grade.status not in ("resolved", "unresolved"):
        words.append(grade.status.replace("_", " "))
    name = "resolved" if record.resolved else "unresolved"
    return f"{name:<11} {record.instance_id}  {', '.join(filter(None, words))}"


def summary(progress: Progress) -> str:
    """Return one line for people on how far an evaluation is."""
    counts = progress.counts
    line = (
        f"{progress.done}/{progress.total}  {counts['resolved']} resolved, "
        f"{counts['unresolved']} not"
    )
    if counts["failed"]:
        line += f", {counts['failed']} failed for reasons beside the model"
    if progress.done > progress.earlier:
        line += f"  {progress.per_hour:.0f}/h"
    left = progress.seconds_left
    if left and progress.done < progress.total:
        line += f", {_duration(left)} left"
    return line


@contextmanager
def watching(console: Console) -> Iterator[Callable[[Progress, Record | None], None]]:
    """Yield a listener that keeps a table below the finished instances on a terminal.

    Elsewhere it prints a line for each instance.
    """
    if not console.is_terminal:
        yield lambda progress, record: print(
            clean(f"{progress.done}/{progress.total}  {told(record)}")
            if record
            else summary(progress),
            flush=True,
        )
        return
    from rich.live import Live

    shown: list[Progress] = []
    with Live(console=console, refresh_per_second=2, get_renderable=lambda: _table(shown)) as live:

        def show(progress: Progress, record: Record | None) -> None:
            shown[:] = [progress]
            if record:
                style = _STYLES.get(told(record).split()[0])
                live.console.print(clean(told(record)), style=style, markup=False, highlight=False)

        yield show


def _table(shown: list[Progress]) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for progress in shown:
        now = time.monotonic()
        # Another thread adds to it while this one draws.
        running = list(progress.running.items())
        for name, began in running[:_SHOWN]:
            table.add_row("·", clean(name), _duration(now - began))
        if len(running) > _SHOWN:
            table.add_row("·", f"and {len(running) - _SHOWN} more", "")
        table.add_row("", summary(progress), "")
    return table


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
