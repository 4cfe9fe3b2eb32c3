"""A model whose answers come from a function of this process instead of from a server."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from reapair.agent.model.call_assembly import RawCall
from reapair.agent.model.call_form import plain_form
from reapair.agent.model.outcomes import classify
from reapair.agent.model.reply import Reply
from reapair.agent.model.types import (
    Answer,
    Message,
    Outcome,
    Progress,
    RequestOptions,
    Server,
    Usage,
)

Answering = Callable[[Sequence[Message], Sequence[dict[str, Any]]], Message | None]
Count = Callable[[Sequence[Message], Sequence[dict[str, Any]]], int]


def estimate(messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> int:
    """Return the size of a prompt at three characters a token."""
    return len(json.dumps([*messages, *tools], ensure_ascii=False)) // 3 + 1


class InProcessModel:
    """A `Model` that asks a function; its answers are checked like those of a server.

    Args:
        answering: returns the answer to a conversation, given the tools' schemas too: `content`,
            `reasoning_content`, `tool_calls` and `finish_reason` as in OpenAI's API, each of which
            may be missing; None where the request was given up.
        name: of the model.
        context_tokens: what the model's context holds.
        count: returns the tokens of a prompt.
    """

    def __init__(
        self, answering: Answering, name: str, context_tokens: int, count: Count = estimate
    ) -> None:
        self.server = Server("other", "http://localhost", name, context_tokens)
        self.count = count
        self._answering = answering

    def call_form(self, tools: Sequence[dict[str, Any]]) -> str:
        """Return a call as this model's family writes it."""
        return plain_form(tools, self.server)

    def ask(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],
        options: RequestOptions,
        on_progress: Callable[[Progress], None] | None = None,  # noqa: ARG002
    ) -> Answer:
        """Ask the function and classify what it returns."""
        message = self._answering(messages, tools)
        if message is None:
            return Answer(Outcome.CANCELLED, detail="cancelled")
        return classify(_reply(message), messages, tools, Usage(), rescue=options.rescue)

    def cancel(self) -> None:
        """Do nothing: the function returns by itself."""


def _reply(message: Message) -> Reply:
    calls = [_call(call) for call in message.get("tool_calls") or []]
    return Reply(
        content=message.get("content") or "",
        reasoning=message.get("reasoning_content") or message.get("reasoning") or "",
        calls=calls,
        finish_reason=message.get("finish_reason") or ("tool_calls" if calls else "stop"),
    )


def _call(call: dict[str, Any]) -> RawCall:
    function = call["function"]
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments or {}, ensure_ascii=False)
    return RawCall(str(call.get("id") or ""), str(function["name"]), arguments)
