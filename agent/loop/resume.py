"""Continuing a run: begin another turn, and put the graph where the log stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reapair.agent.log.formats import RunStarted
from reapair.agent.log.turns import INTERRUPTED, NOT_RUN, turn_start

if TYPE_CHECKING:
    from reapair.agent.loop.session import Session
    from reapair.agent.loop.state import State


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
    """Put the graph where the log stands where its checkpoint does not know the last turn."""
    events = session.run.events
    seen = graph.get_state(config).values.get("seen")
    if seen is not None and turn_start(events) < seen <= len(events):
        return
    fork = events[0].read(RunStarted).forked_from
    # Seed and temperature of a copy's first answer, so that it takes another way than the original.
    options = {"retry": fork["number"]} if fork and seen is None else {}
    # A model error in guided solving ends the run, and nothing of the loop was begun.
    again = session.guided and not (session.run.of_kind("request") or session.history.messages)
    again = again and not session.run.of_kind("instruction")
    state: State = {
        **{
            "next": "localise" if again else "think",
            "step": _steps_done(session),
            "seen": len(events),
            "options": options,
        },
        **{"bad": 0, "wire": 0, "proofs": 0, "feedback": None, "submission": None},
        **{"summary": "", "exit_reason": "", "error": ""},
    }
    graph.update_state(config, state, as_node="prepare" if again else "verify")


def _steps_done(session: Session) -> int:
    run = session.run
    if session.history.unanswered:
        return run.of_kind("response")[-1].step - 1
    return max((event.step for event in run.of_kind("tool_result")), default=0)
