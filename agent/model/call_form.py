"""How a tool call looks in the text of a model: shown to one whose calls could not be read."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reapair.agent.model.prompt_cache import common_start
from reapair.agent.model.request import is_known
from reapair.agent.model.server_probe import NothingThere, probe

if TYPE_CHECKING:
    from reapair.agent.model.connection import Hangup
    from reapair.agent.model.server_probe import Probe
    from reapair.agent.model.types import Server

VALUE = "VALUE"
_MARK = "¤"  # begins and ends no markup
_LONGEST = 1_000


def call_form(
    server: Server,
    tools: Sequence[dict[str, Any]],
    api_key: str | None,
    headers: Mapping[str, str],
    hangup: Hangup,
) -> str:
    """Return a call of the first tool as the server's own template writes it, else as JSON."""
    if server.kind == "llama.cpp":
        with (
            contextlib.suppress(NothingThere),
            probe(server.base_url, api_key, headers, hangup=hangup) as asked,
        ):
            if form := _by_template(asked, server, tools):
                return form
    return plain_form(tools, server)


def plain_form(tools: Sequence[dict[str, Any]], server: Server) -> str:
    """Return a call of the first tool in GLM's markup for GLM, in JSON for any other model."""
    name, arguments = _example(tools)
    if not is_known(server.family or server.model):
        return json.dumps({"name": name, "arguments": arguments})
    pairs = "".join(
        f"<arg_key>{key}</arg_key><arg_value>{value}</arg_value>"
        for key, value in arguments.items()
    )
    return f"<tool_call>{name}{pairs}</tool_call>"


def _example(tools: Sequence[dict[str, Any]]) -> tuple[str, dict[str, str]]:
    function = tools[0]["function"]
    return function["name"], dict.fromkeys(function["parameters"].get("required") or (), VALUE)


def _by_template(asked: Probe, server: Server, tools: Sequence[dict[str, Any]]) -> str:
    """Render an answer with a call and one with a text; return in what they differ, or ""."""
    name, arguments = _example(tools)
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = [{"id": "call00000", "type": "function", "function": function}]
    texts = []
    for answer in ({"content": "", "tool_calls": call}, {"content": f"{_MARK}x{_MARK}"}):
        user = {"role": "user", "content": "x"}
        messages = [user, {"role": "assistant", **answer}, user]
        body = {"model": server.model, "messages": messages, "tools": list(tools)}
        texts.append(str(asked.post(f"{asked.root}/apply-template", body).dict().get("prompt")))
    form = _inserted(*texts)
    whole = name in form and all(value in form for value in arguments.values())
    return form if whole and len(form) < _LONGEST else ""


def _inserted(text: str, other: str) -> str:
    """Return what stands in one text where the other has the mark."""
    before, _, rest = other.partition(_MARK)
    after = rest.rpartition(_MARK)[2]
    start = len(common_start(text, before))
    end = len(common_start(text[start:][::-1], after[::-1]))
    return text[start : len(text) - end].strip()
