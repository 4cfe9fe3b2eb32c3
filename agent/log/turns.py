"""The turns of a run: the issue is the first, each instruction of the user's begins another.

The log alone says where a run stands; a checkpoint that is behind it, or missing, is made to
follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reapair.agent.result import INFRASTRUCTURE

if TYPE_CHECKING:
    from reapair.agent.log.events import Event
    from reapair.agent.loop.graph import State
    from reapair.agent.loop.session import Session

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
        if event.kind == "run_finished" and event.data["result"]["exit_reason"] in INFRASTRUCTURE:
            return event.seq
    return 0


def finished(events: Sequence[Event]) -> dict[str, Any] | None:
    """Return the result that the current turn ended with; None while it has none."""
    for event in reversed(events[turn_start(events) :]):
        if event.kind == "run_finished":
            result: dict[str, Any] = event.data["result"]
            return result
    return None


def steps_before(events: Sequence[Event]) -> int:
    """Return how many steps were done when the last instruction came: its budget begins there."""
    return next((event.step for event in reversed(events) if event.kind == "instruction"), 0)


def instruct(session: Session, text: str) -> None:
    """Begin another turn with the user's words; calls that were not run yet are given up."""
    run = session.run
    step = max(event.step for event in run.events)
    for call in session.history.unanswered:
        begun = session.history.interrupted(call["id"])
        content = INTERRUPTED if begun else NOT_RUN
        facts = {"call_id": call["id"], "name": call["name"], "content": content}
        run.append("tool_result", step, **facts, ok=False, data={})
    run.append("instruction", step, text=text)
    run.sync()


def follow_log(graph: Any, config: dict[str, Any], session: Session) -> None:
    """Put the graph in front of `think` where its checkpoint does not know the log's last turn."""
    events = session.run.events
    seen = graph.get_state(config).values.get("seen")
    if seen is not None and turn_start(events) < seen <= len(events):
        return
    fork = events[0].data.get("forked_from")
    # Seed and temperature of a copy's first answer, so that it takes another way than the original.
    options = {"retry": fork["number"]} if fork and seen is None else {}
    state: State = {
        **{"next": "think", "step": _steps_done(session), "seen": len(events), "options": options},
        **{"bad": 0, "wire": 0, "proofs": 0, "feedback": None, "submission": None},
        **{"summary": "", "exit_reason": "", "error": ""},
    }
    graph.update_state(config, state, as_node="verify")


def _steps_done(session: Session) -> int:
    run = session.run
    if session.history.unanswered:
        return run.of_kind("response")[-1].step - 1
    return max((event.step for event in run.of_kind("tool_result")), default=0)
