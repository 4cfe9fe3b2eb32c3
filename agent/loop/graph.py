"""The whole life of a run.

prepare ──► think ──► act ──► think … ──► verify ──► finish
              ▲         │                   │
              └─────────┴──── feedback ◄────┘   (bounded)

The state is small; messages and effects live in the run's event log, and where the two differ the
log wins. Every node can run again after a crash: it looks into the log for what is done already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reapair.agent.loop.nodes import Nodes
from reapair.agent.loop.state import State

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from reapair.agent.loop.session import Session


def build(session: Session, checkpointer: BaseCheckpointSaver[Any] | None = None) -> Any:
    """Return the compiled graph of one run."""
    from langgraph.graph import END, START, StateGraph

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
