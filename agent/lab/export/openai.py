"""OpenAI chat rows with tools: what most trainers read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reapair.agent.lab.export.trajectory import Trajectory, Turn


def documents(trajectory: Trajectory) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each segment's name and its row: the conversation, and all that is known of it."""
    for number, segment in enumerate(trajectory.segments, 1):
        row = {
            "messages": [message(turn) for turn in segment.turns],
            "tools": trajectory.tools,
            **facts(trajectory, number),
            "discarded": segment.discarded,
        }
        yield row["trajectory_id"], row


def message(turn: Turn) -> dict[str, Any]:
    """Return a turn's message; the model's have weight 0 where nothing is to be learned from."""
    unlearned = turn.masked or turn.copied
    if turn.message["role"] == "assistant" and unlearned:
        return {**turn.message, "weight": 0}
    return turn.message


def facts(trajectory: Trajectory, number: int) -> dict[str, Any]:
    """Return what the formats say of a run beside the conversation; `number` is the segment's."""
    return {
        "trajectory_id": trajectory.part(number),
        "segment": number,
        "segments": len(trajectory.segments),
        "instance_id": trajectory.instance_id,
        "model": trajectory.model,
        "resolved": trajectory.resolved,
        "verdict": trajectory.verdict,
        "exit_reason": trajectory.exit_reason,
        "model_patch": trajectory.patch,
        "image": trajectory.image,
        "license": trajectory.licence,
        "usage": trajectory.usage,
        "declared": trajectory.declared,
    }
