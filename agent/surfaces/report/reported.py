"""`solve` and `resume` as everybody outside the core calls them: every run gets its page."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import ParamSpec

from reapair.agent import solve as core
from reapair.agent.result import Result
from reapair.agent.surfaces.report import write_report

P = ParamSpec("P")


def _reported(bring_to_end: Callable[P, Result]) -> Callable[P, Result]:
    """Return the function with this after it: write the page of the run, and of its attempts."""

    @wraps(bring_to_end)
    def call(*args: P.args, **kwargs: P.kwargs) -> Result:
        result = bring_to_end(*args, **kwargs)
        run = result.directory
        for attempt in sorted(run.parent.glob(f"{run.name}.*")):
            _write(attempt, None)
        _write(run, result)
        return result

    return call


def _write(directory: Path, result: Result | None) -> None:
    # Best effort: `agent report` writes a page again where this has failed.
    with suppress(Exception):
        write_report(directory, result=result)


solve = _reported(core.solve)
resume = _reported(core.resume)
