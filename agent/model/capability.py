"""Whether a model makes tool calls: seen once for each server and model, and remembered."""

from __future__ import annotations

import hashlib
import json
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reapair.agent.model.request import is_known
from reapair.agent.model.types import Outcome, RequestOptions

if TYPE_CHECKING:
    from reapair.agent.model.types import Answer, Message, Model, Server

_TOKENS = 256
_MOST_KEPT = 200


def _tool(name: str, what: str, *parameters: str) -> dict[str, Any]:
    fields = {each: {"type": "string"} for each in parameters}
    schema = {"type": "object", "properties": fields, "required": list(parameters)}
    return {
        "type": "function",
        "function": {"name": name, "description": what, "parameters": schema},
    }


_TOOLS = [
    _tool("read", "Read a file.", "path"),
    _tool("edit", "Replace a text in a file.", "path", "old_str", "new_str"),
]
_SYSTEM = "You change files, with tools alone: every reply makes exactly one tool call."
_TASK = "In greet.py a greeting is misspelt: `helo` has to be `hello`. Read the file, then mend it."
_FILE = '     1\tdef greet(name):\n     2\t    return f"helo {name}"\n'


def makes_calls(model: Model) -> bool:
    """Return whether a model makes tool calls that the server parses.

    Two calls are asked for, the second one after the result of the first, as in a run. A model
    whose settings we know is not asked: it was chosen for its calls.
    """
    server = model.server
    if is_known(server.family or server.model):
        return True
    known = remembered(server)
    if known is None:
        known = _probe(model)
        if known is not None:
            _remember(server, makes=known)
    return known is not False


def remembered(server: Server) -> bool | None:
    """Return what was seen of a server's model before; None when it was not asked yet."""
    with suppress(OSError, ValueError):
        return bool(json.loads((_directory() / _key(server)).read_text("utf-8"))["makes_calls"])
    return None


def _probe(model: Model) -> bool | None:
    """Ask for two calls; None when the server failed, which says nothing of the model."""
    messages: list[Message] = [
        {"role": "system", "content": _SYSTEM},
        {"role": "user", "content": _TASK},
    ]
    options = RequestOptions(max_tokens=_TOKENS, temperature=0.2, rescue=False)
    first = model.ask(messages, _TOOLS, options)
    if first.outcome is not Outcome.TOOL_CALLS or first.message is None:
        return None if _failed(first) else False
    messages += [
        first.message,
        *({"role": "tool", "tool_call_id": c.id, "content": _FILE} for c in first.calls),
    ]
    second = model.ask(messages, _TOOLS, options)
    if second.outcome is not Outcome.TOOL_CALLS:
        return None if _failed(second) else False
    return all(call.error is None for call in (*first.calls, *second.calls))


def _failed(answer: Answer) -> bool:
    return answer.outcome not in (
        Outcome.FINAL_TEXT,
        Outcome.REASONING_ONLY,
        Outcome.EMPTY,
        Outcome.TRUNCATED,
        Outcome.REPETITION,
        Outcome.FORMAT_ERROR,
        Outcome.REFUSED,
    )


def _directory() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("agent") / "capabilities"


def _key(server: Server) -> str:
    parts = (server.kind, server.base_url, server.model, server.family, server.version)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _remember(server: Server, *, makes: bool) -> None:
    with suppress(OSError):
        folder = _directory()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = folder / f".{secrets.token_hex(4)}"
        partial.write_text(json.dumps({"model": server.model, "makes_calls": makes}), "utf-8")
        partial.replace(folder / _key(server))
        kept = sorted(folder.glob("[0-9a-f]*"), key=lambda file: file.stat().st_mtime)
        for old in kept[:-_MOST_KEPT]:
            old.unlink(missing_ok=True)
