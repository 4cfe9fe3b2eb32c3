"""The whole life of a run.

prepare ──► localise ──► reproduce ──► repair ──► choose ──► finish        (guided, where it fits)
   │                         │                       │
   └─────────────────────────┴───────────┬───────────┘
                                         ▼
                                       think ──► act ──► think … ──► verify ──► finish
                                         ▲         │                   │
                                         └─────────┴──── feedback ◄────┘   (bounded)

The state is small; messages and effects live in the run's event log, and where the two differ the
log wins. Every node can run again after a crash: it looks into the log for what is done already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from reapair.agent.loop.nodes import Nodes
from reapair.agent.loop.state import State

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from reapair.agent.loop.session import Session


Node = Callable[[State], State]


def build(
    session: Session,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    stages: Callable[[Nodes], Mapping[str, Node]] | None = None,
) -> Any:
    """Return the compiled graph of one run.

    Args:
        session: the run at work.
        checkpointer: keeps its state.
        stages: returns the nodes of guided solving, in their order; the first one comes after
            `prepare`, each may lead to the next, to the loop or to the end.
    """
    from langgraph.graph import END, START, StateGraph

    def counted(node: Node) -> Any:
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
    guided = stages(nodes) if stages else {}
    for name, node in guided.items():
        graph.add_node(name, counted(node))
        graph.add_conditional_edges(name, _next, [*guided, "think", "verify", "finish"])
    graph.add_conditional_edges("prepare", _next, [*list(guided)[:1], "think"])
    graph.add_conditional_edges("think", _next, ["think", "act", "verify"])
    graph.add_conditional_edges("act", _next, ["think", "verify"])
    graph.add_conditional_edges("verify", _next, ["think", "finish"])
    graph.add_edge("finish", END)
    return graph.compile(checkpointer=checkpointer)


def _next(state: State) -> str:
    return state["next"]
