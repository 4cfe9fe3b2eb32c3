"""Lists for people and for programs: the doctor's checks, the runs that are kept."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from reapair.agent.words.terminal_safe import clean, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reapair.agent.log.listing import Summary
    from reapair.agent.surfaces.doctor import Check

CHECK_STYLE = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def show_checks(checks: Iterable[Check], *, as_json: bool) -> bool:
    """Show the doctor's checks as they are made; return whether none has failed."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    failed = False
    for check in checks:
        failed |= check.status == "failed"
        if as_json:
            sys.stdout.write(json.dumps(asdict(check)) + "\n")
            continue
        console.print(f"{check.status:>7}", style=CHECK_STYLE[check.status], end="  ")
        console.print(f"{check.name:<20} {clean(check.detail)}", markup=False)
        if check.mend and check.status != "ok":
            console.print(f"{'':>7}  {'':<20} → {clean(check.mend)}", markup=False)
    return not failed


def show_runs(runs: Iterable[Summary], *, as_json: bool) -> None:
    """Show the runs as a table, or as one JSON object each."""
    if as_json:
        for run in runs:
            facts = asdict(run) | {"directory": str(run.directory)}
            sys.stdout.write(json.dumps(facts) + "\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    narrow = console.is_terminal and console.width < 80
    table = Table(box=None)
    for name in ("run", "issue", *(() if narrow else ("repository", "state")), "verdict"):
        whole = name in ("run", "verdict") or not console.is_terminal
        table.add_column(name, no_wrap=whole or narrow, overflow="ellipsis")
    if not narrow:
        table.add_column("steps", justify="right")
    table.add_column("age", justify="right", no_wrap=True)
    for run in runs:
        issue, place = one_line(run.issue, 50), one_line(run.repository.rpartition("/")[2])
        row = [run.id, issue, place, run.state, run.verdict, str(run.steps), _age(run.age)]
        if narrow:
            row = [run.id, issue, run.verdict or run.state, _age(run.age)]
        table.add_row(*map(Text, row))
    console.print(table)


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"
