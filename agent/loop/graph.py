"""The whole life of a run.

prepare ──► think ──► act ──► think … ──► verify ──► finish
              ▲         │                   │
              └─────────┴──── feedback ◄────┘   (bounded)

The state is small; messages and effects live in the run's event log, and where the two differ the
log wins. Every node can run again after a crash: it looks into the log for what is done already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from reapair.agent.loop.session import Session


class State(TypedDict, total=False):
    """What a checkpoint holds.

    `next` is the node to go to, `step` counts finished steps. `bad` counts the bad answers in a
    row, `wire` those that were no fault of the model's. `options` and `feedback` belong to the
    request to come; `submission` is the id of the call that submitted, until its proof is
    answered; `proofs` counts proofs. `seen` is how much of the log the checkpoint knows: events
    beyond it were written by a node that did not come to its end.
    """

    next: str
    step: int
    bad: int
    wire: int
    options: dict[str, Any]
    feedback: str | None
    submission: str | None
    proofs: int
    summary: str
    exit_reason: str
    error: str
    seen: int


def build(session: Session, checkpointer: BaseCheckpointSaver[Any] | None = None) -> Any:
    """Return the compiled graph of one run."""
    from langgraph.graph import END, START, StateGraph

    from reapair.agent.loop.nodes import Nodes

    def counted(node: Callable[[State], State]) -> Any:
        def run(state: State) -> State:
            return {**node(state), "seen": len(session.run.events)}

        return run

    nodes = Nodes(session)
    graph = StateGraph(State)
    graph.add_node("prepare", counted(nodes.prepare))
    graph.add_node("think", counted(nodes.think))
    graph.add_node("act", counted(nodes.act))
    graph.add_node("verify", counted(nodes.verify))
    graph.add_node("finish", counted(nodes.finish))
    graph.add_edge(START, "prepare")
    graph.add_edge("prepare", "think")
    graph.add_conditional_edges("think", _next, ["think", "act", "verify"])
    graph.add_conditional_edges("act", _next, ["think", "verify"])
    graph.add_conditional_edges("verify", _next, ["think", "finish"])
    graph.add_edge("finish", END)
    return graph.compile(checkpointer=checkpointer)


def _next(state: State) -> str:
    return state["next"]
