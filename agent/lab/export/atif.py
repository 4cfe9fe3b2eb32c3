"""Agent Trajectory Interchange Format 1.8: a document for each segment, linked in their order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from reapair.agent.lab.export import openai
from reapair.agent.lab.export.trajectory import Segment, Trajectory, Turn

SCHEMA = "ATIF-v1.8"

_SOURCES = {"system": "system", "user": "user", "assistant": "agent"}


def documents(trajectory: Trajectory) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each segment's name and its document; each refers to the next as NAME.json."""
    from importlib.metadata import version

    agent = {
        "name": "reapair",
        "version": version("reapair"),
        "model_name": trajectory.model,
        "tool_definitions": trajectory.tools,
    }
    for number, segment in enumerate(trajectory.segments, 1):
        facts = openai.facts(trajectory, number)
        document: dict[str, Any] = {
            "schema_version": SCHEMA,
            "session_id": trajectory.name,
            "trajectory_id": facts.pop("trajectory_id"),
            "agent": agent,
            "steps": _steps(segment),
            "final_metrics": _totals(trajectory),
            "extra": {**facts, "discarded": segment.discarded},
        }
        if number < len(trajectory.segments):
            document["continued_trajectory_ref"] = f"{trajectory.part(number + 1)}.json"
        yield document["trajectory_id"], document


def _totals(trajectory: Trajectory) -> dict[str, Any]:
    usage = trajectory.usage
    kinds = ("prompt", "completion", "cached")
    totals: dict[str, Any] = {f"total_{kind}_tokens": usage.get(f"{kind}_tokens") for kind in kinds}
    steps = sum(
        turn.message["role"] == "assistant" and not turn.copied
        for segment in trajectory.segments
        for turn in segment.turns
    )
    return totals | {"extra": {"answers": steps}}


def _steps(segment: Segment) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    for turn in segment.turns:
        if turn.message["role"] == "tool":
            result = {
                "source_call_id": turn.message["tool_call_id"],
                "content": turn.message["content"],
            }
            observation = steps[-1].setdefault("observation", {"results": []})
            observation["results"].append(result)
        else:
            steps.append(_step(turn, len(steps) + 1))
    return steps


def _step(turn: Turn, number: int) -> dict[str, Any]:
    message = turn.message
    step: dict[str, Any] = {
        "step_id": number,
        "timestamp": datetime.fromtimestamp(turn.ts, UTC).isoformat(),
        "source": _SOURCES[message["role"]],
        "message": message["content"],
    }
    if turn.copied:
        step["is_copied_context"] = True
    if message["role"] != "assistant":
        return step
    if reasoning := message.get("reasoning_content"):
        step["reasoning_content"] = reasoning
    if calls := message.get("tool_calls"):
        step["tool_calls"] = [_call(call) for call in calls]
    if turn.usage:
        step["llm_call_count"] = 1
        step["metrics"] = _metrics(turn)
    if turn.masked:
        step["extra"] = {"weight": 0}
    return step


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {
        "tool_call_id": call["id"],
        "function_name": function["name"],
        "arguments": json.loads(function["arguments"]),
    }


def _metrics(turn: Turn) -> dict[str, Any]:
    usage = turn.usage or {}
    names = ("prompt_tokens", "completion_tokens", "cached_tokens")
    return {name: usage[name] for name in names if usage.get(name)}
