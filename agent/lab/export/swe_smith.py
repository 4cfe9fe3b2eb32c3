"""Rows like those of SWE-smith's trajectories, split `tool`: `messages` is a JSON string."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from reapair.agent.lab.export import openai
from reapair.agent.lab.export.trajectory import Trajectory, Turn


def documents(trajectory: Trajectory) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each segment's name and its row: that data set's columns first, then ours."""
    for number, segment in enumerate(trajectory.segments, 1):
        facts = openai.facts(trajectory, number)
        yield (
            facts["trajectory_id"],
            {
                "messages": json.dumps([_message(turn) for turn in segment.turns]),
                "instance_id": trajectory.instance_id,
                "resolved": trajectory.resolved,
                "model": trajectory.model,
                "traj_id": facts["trajectory_id"],
                "patch": trajectory.patch,
                "tools": json.dumps(trajectory.tools),
                **{name: facts[name] for name in ("verdict", "exit_reason", "image", "license")},
                "declared": trajectory.declared,
                "discarded": segment.discarded,
            },
        )


def _message(turn: Turn) -> dict[str, Any]:
    message = openai.message(turn)
    content = message["content"]
    if message["role"] == "assistant":
        calls = [call["function"] for call in message.get("tool_calls", ())]
        action = "\n".join(f"{call['name']} {call['arguments']}" for call in calls)
        return {
            **message,
            "thought": content,
            "action": action,
            "agent": "main",
            "message_type": "action",
        }
    if message["role"] == "tool":
        return {
            "role": "tool",
            "content": [{"type": "text", "text": content}],
            "tool_call_ids": [message["tool_call_id"]],
            "agent": "main",
            "message_type": "observation",
        }
    kind = "system_prompt" if message["role"] == "system" else "observation"
    return {**message, "agent": "main", "message_type": kind}
