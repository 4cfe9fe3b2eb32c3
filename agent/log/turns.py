"""The turns of a run: the issue is the first, each instruction of the user's begins another.

The log alone says where a run stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reapair.agent.log.formats import RunFinished
from reapair.agent.result import INFRASTRUCTURE

if TYPE_CHECKING:
    from reapair.agent.log.events import Event

INTERRUPTED = (
    "Interrupted: the harness was stopped during this call, so what it did is unknown. "
    "The tree is as it was after the last finished step. Call it again if you need it."
)

NOT_RUN = "Not run: the user has stopped you here."


LAST_KINDS = ("handover", "run_finished", "verification")
"""Kinds that only the end of a turn has; a copy of its steps goes on without them."""


def turn_start(events: Sequence[Event]) -> int:
    """Return how many events lie before the current turn.

    A turn begins with an instruction, or where the run goes on after an error that was none of the
    model's.
    """
    for event in reversed(events):
        if event.kind == "instruction":
            return event.seq - 1
        if event.kind == "run_finished" and _result(event)["exit_reason"] in INFRASTRUCTURE:
            return event.seq
    return 0


def finished(events: Sequence[Event]) -> dict[str, Any] | None:
    """Return the result that the current turn ended with; None while it has none."""
    for event in reversed(events[turn_start(events) :]):
        if event.kind == "run_finished":
            return _result(event)
    return None


def _result(event: Event) -> dict[str, Any]:
    return event.read(RunFinished).result


def steps_before(events: Sequence[Event]) -> int:
    """Return how many steps were done when the last instruction came: its budget begins there."""
    return next((event.step for event in reversed(events) if event.kind == "instruction"), 0)
