"""Bounds on what a server may send: bytes after decoding, nesting of JSON, calls in one reply."""

from __future__ import annotations

import json
from typing import Any

ANSWER_BYTES = 32 << 20
"""Of a whole stream: 130,000 tokens, each in a chunk of its own, take less."""

BODY_BYTES = 8 << 20
"""Of what is parsed in one piece: a body, or one event of a stream."""

CALLS = 32
"""Tool calls that are run of one reply."""

_DEPTH = 100  # what is parsed is also printed and logged, from deeper in the stack
_CONTAINERS = 500_000  # an empty list takes thirty times the bytes that it has on the wire


class TooMuch(ValueError):  # noqa: N818 - a state of the answer
    """A server sent more than any real answer holds. The message says of what."""


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text that is not too large or too deep. Raises ValueError."""
    if len(text) > ANSWER_BYTES:
        raise TooMuch(f"more than {ANSWER_BYTES >> 20} MB of JSON")
    if isinstance(text, bytes):
        text = text.decode()
    brackets = text.count("{") + text.count("[")
    if brackets > _CONTAINERS:
        raise TooMuch(f"JSON of more than {_CONTAINERS:,} lists and objects")
    try:
        value = json.loads(text)
    except RecursionError:
        raise TooMuch("JSON that is nested too deeply") from None
    if brackets > _DEPTH:  # else it cannot be that deep
        check_depth(value)
    return value


def check_depth(value: Any) -> None:
    """Raise TooMuch for a JSON value that is nested too deeply."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise TooMuch("JSON that is nested too deeply")
