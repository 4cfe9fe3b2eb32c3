"""A run as a LangGraph graph, for people who compose graphs; `langgraph.json` names `graph`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from reapair.agent.surfaces.api import Agent


class Task(TypedDict, total=False):
    """What the graph is given, and gives back.

    `issue` and `repository` (default: the current directory) go in; `status`, `verdict`, `patch`,
    `branch` and `run_id` come out, as in `Result`.
    """

    issue: str
    repository: str
    status: str
    verdict: str
    patch: str
    branch: str | None
    run_id: str


def as_graph(agent: Agent | None = None) -> Any:
    """Return a compiled graph of one node, `solve`, over `Task`; usable as a node of another one.

    Args:
        agent: default: one with the settings of each repository.

    The run inside keeps its own log and checkpoints, and is resumed by `reapair.resume`. It can be
    called by `invoke` and `ainvoke`.
    """
    from langchain_core.runnables import RunnableLambda
    from langgraph.graph import END, START, StateGraph

    from reapair.agent.result import Result
    from reapair.agent.surfaces.api import Agent

    chosen = agent or Agent()

    def told(result: Result) -> Task:
        return {
            "status": result.status,
            "verdict": result.verdict.value,
            "patch": result.patch,
            "branch": result.branch,
            "run_id": result.run_id,
        }

    def work(task: Task) -> Task:
        return told(chosen.solve(task["issue"], task.get("repository", ".")))

    async def awork(task: Task) -> Task:
        return told(await chosen.asolve(task["issue"], task.get("repository", ".")))

    graph = StateGraph(Task)
    graph.add_node("solve", RunnableLambda(work, afunc=awork))
    graph.add_edge(START, "solve")
    graph.add_edge("solve", END)
    return graph.compile()


def graph() -> Any:
    """Return the graph for LangGraph's own server and studio."""
    return as_graph()
