"""Bytes of an event stream, read the way the client reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

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
    """Yield the JSON of a stream that arrives in these pieces, as openai's reader does."""
    import httpx2
    import openai

    response = httpx2.Response(
        200,
        headers={"Content-Type": "text/event-stream"},
        content=iter(pieces),
        request=httpx2.Request("POST", "http://127.0.0.1/v1/chat/completions"),
    )
    return iter(openai.Stream(cast_to=object, response=response, client=_client()))


@cache
def _client() -> Any:
    import openai

    return openai.OpenAI(api_key="none", base_url="http://127.0.0.1/v1")
