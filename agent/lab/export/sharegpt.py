"""ShareGPT rows with calls in Hermes' markup: for trainers that know turns of text alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from reapair.agent.lab.export import openai
from reapair.agent.lab.export.trajectory import Trajectory, Turn

_SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt", "tool": "tool"}


def documents(trajectory: Trajectory) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each segment's name and its row."""
    for number, segment in enumerate(trajectory.segments, 1):
        facts = openai.facts(trajectory, number)
        row = {
            "conversations": [_turn(turn) for turn in segment.turns],
            "tools": json.dumps(trajectory.tools),
            **facts,
            "discarded": segment.discarded,
        }
        yield facts["trajectory_id"], row


def _turn(turn: Turn) -> dict[str, Any]:
    message = openai.message(turn)
    text = message["content"]
    if message["role"] == "tool":
        text = f"<tool_response>\n{text}\n</tool_response>"
    if message["role"] == "assistant":
        text = _spoken(message)
    weight = {"weight": message["weight"]} if "weight" in message else {}
    return {"from": _SPEAKERS[message["role"]], "value": text, **weight}


def _spoken(message: dict[str, Any]) -> str:
    """Write an answer as one text: the reasoning, what it says, its calls."""
    parts = [message["content"]] if message["content"] else []
    if reasoning := message.get("reasoning_content"):
        parts.insert(0, f"<think>\n{reasoning}\n</think>")
    for call in message.get("tool_calls", ()):
        function = call["function"]
        made = {"name": function["name"], "arguments": json.loads(function["arguments"])}
        parts.append(f"<tool_call>\n{json.dumps(made, ensure_ascii=False)}\n</tool_call>")
    return "\n".join(parts)
