"""Bytes of an event stream, read the way the client reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from reapair.agent.model.event_stream import frames

CAPTURES = Path(__file__).parents[1] / "model/captures"
"""Streams of a real llama.cpp server."""


def tool(name: str, *required: str, **optional: str) -> dict[str, Any]:
    """Return a tool's schema; `optional` gives the types of optional arguments."""
    properties = {key: {"type": "string"} for key in required}
    properties |= {key: {"type": kind} for key, kind in optional.items()}
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [
    tool("read", "path", start_line="integer", whole="boolean"),
    tool("search", "pattern"),
    tool("edit", "path", "old_str", "new_str"),
    tool("bash", "command", timeout="integer"),
]
"""Like the tools of a run."""


WILLING = {"logit_bias": {"</think>": 11, "<tool_call>": 11, "</arg_value>": 11}}
"""Random weights seldom end what they begin: with this, these tokens get likelier."""


def chunks(pieces: Iterable[bytes]) -> Iterator[Any]:
    """Yield the JSON of a stream that arrives in these pieces."""
    return frames(pieces)
