"""GLM-4.7's chat template, rendered as llama.cpp renders it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

OBSERVATION = "<|observation|>"


def render(
    template: str,
    messages: Sequence[dict[str, Any]],
    tools: Sequence[dict[str, Any]],
    *,
    answer_next: bool = False,
) -> str:
    """Return the prompt of a conversation; `answer_next` opens the model's next turn.

    Arguments of calls may be JSON text, as on the wire, or objects.
    """
    return _compile(template).render(
        messages=[_with_objects(message) for message in messages],
        tools=tools,
        add_generation_prompt=answer_next,
        enable_thinking=True,
        clear_thinking=False,
    )


def load(llama_cpp: Path) -> str:
    """Return the template that llama.cpp's source tree has for GLM-4.7-Flash."""
    return (llama_cpp / "models/templates/GLM-4.7-Flash.jinja").read_text("utf-8")


@cache
def _compile(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = json.dumps  # Jinja's own escapes for HTML.
    return environment.from_string(template)


def _with_objects(message: dict[str, Any]) -> dict[str, Any]:
    """Turn the arguments of the message's calls into objects, which the template needs."""
    if not message.get("tool_calls"):
        return message
    calls = []
    for call in message["tool_calls"]:
        function = dict(call["function"])
        if isinstance(function["arguments"], str):
            function["arguments"] = json.loads(function["arguments"])
        calls.append({"function": function})
    return {**message, "tool_calls": calls}
