"""The conversation, rebuilt from the event log: append-only, and the same after a restart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from reapair.agent.log.events import Event
from reapair.agent.loop.compaction import Plan
from reapair.agent.model.types import Message
from reapair.prompts import Prompts

NOTICE_STEPS = 3
"""In this many last steps every observation says how many are left."""


class History:
    """Messages as the model gets them.

    `request` events carry what the harness adds (the first prompt, feedback), `response` events the
    model's stored messages, `tool_result` events the observations, `instruction` events what the
    user has said since. Nothing is ever changed or
    removed but by a `compaction` event, so that each request starts with the tokens of the one
    before.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.messages: list[Message] = []
        self._calls: dict[str, dict[str, Any]] = {}
        self._intents: set[str] = set()
        for event in events:
            self.apply(event)

    def apply(self, event: Event) -> None:
        """Take in one event; kinds that carry no message are passed over."""
        data = event.data
        if event.kind == "request":
            self.messages.extend(data["messages"])
        elif event.kind == "response":
            self.messages.append(data["message"])
            self._calls = {call["id"]: call for call in data["calls"]}
            self._intents = set()
        elif event.kind == "instruction":
            self.messages.append({"role": "user", "content": data["text"]})
        elif event.kind == "compaction":
            self.messages = Plan(**data["plan"]).apply(self.messages)
        elif event.kind == "tool_intent":
            self._intents.add(data["call_id"])
        elif event.kind == "tool_result":
            self._calls.pop(data["call_id"], None)
            self._intents.discard(data["call_id"])
            self.messages.append(
                {"role": "tool", "tool_call_id": data["call_id"], "content": data["content"]}
            )

    @property
    def unanswered(self) -> list[dict[str, Any]]:
        """Calls of the last response without a result yet, in their order."""
        return list(self._calls.values())

    def interrupted(self, call_id: str) -> bool:
        """Tell whether a call was begun, in an earlier life of this run, and its end is unknown."""
        return call_id in self._intents


def opening(prompts: Prompts, tools: Sequence[str]) -> Message:
    """Return the message that every conversation with tools of these names begins with."""
    return {"role": "system", "content": prompts.render("system", tools=tools)}


def budget_notice(step: int, max_steps: int) -> str:
    """Return what an observation of this step says about the steps left; mostly nothing.

    A count in the middle of the conversation never changes later, so it costs no prompt cache.
    """
    left = max_steps - step
    if step == max_steps // 2:
        return f"\n[{left} of {max_steps} steps left. Make the edit now if you have not.]"
    if step == max_steps * 4 // 5:
        return f"\n[{left} of {max_steps} steps left. Finish and submit soon.]"
    if left <= NOTICE_STEPS:
        return f"\n[{left} steps left. Submit now: what is in the tree at the end is taken.]"
    return ""
