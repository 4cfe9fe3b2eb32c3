"""The conversation, rebuilt from the event log: append-only, and the same after a restart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reapair.agent.log import formats
from reapair.agent.log.event_log import read_events

if TYPE_CHECKING:
    from reapair.agent.log.events import Event
    from reapair.agent.result import Result

Message = dict[str, Any]
"""An OpenAI chat message, stored and sent back byte-exact."""

OPENING = 2
"""System prompt and issue: never touched."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a compaction does, as its event stores it.

    `stubs` maps call ids to what their observations become. With `insert`, the messages from the
    opening up to `keep_from` are replaced by it.
    """

    stubs: dict[str, str]
    insert: list[Message]
    keep_from: int

    def apply(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages after the compaction; the given ones are not changed."""
        stubbed = [
            {**message, "content": self.stubs[message["tool_call_id"]]}
            if message.get("tool_call_id") in self.stubs
            else message
            for message in messages
        ]
        if not self.insert:
            return stubbed
        return [*stubbed[:OPENING], *self.insert, *stubbed[self.keep_from :]]


class Conversation:
    """Messages as the model gets them.

    `request` events carry what the harness adds (the first prompt, feedback), `response` events the
    model's stored messages, `tool_result` events the observations, `instruction` events what the
    user has said since. Nothing is ever changed or removed but by a `compaction` event, so that
    each request starts with the tokens of the one before. What the user says before the first
    request, after guided solving, comes behind the first prompt.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.messages: list[Message] = []
        self._early: list[Message] = []
        self._calls: dict[str, dict[str, Any]] = {}
        self._intents: set[str] = set()
        for event in events:
            self.apply(event)

    def apply(self, event: Event) -> None:
        """Take in one event; kinds that carry no message are passed over."""
        if event.kind == "request":
            self.messages += [*event.read(formats.Asked).messages, *self._early]
            self._early = []
        elif event.kind == "response":
            response = event.read(formats.Response)
            self.messages.append(response.message)
            self._calls = {call["id"]: call for call in response.calls}
            self._intents = set()
        elif event.kind == "instruction":
            place = self.messages if self.messages else self._early
            place.append({"role": "user", "content": event.read(formats.Instruction).text})
        elif event.kind == "compaction":
            self.messages = Plan(**event.read(formats.Compaction).plan).apply(self.messages)
        elif event.kind == "tool_intent":
            self._intents.add(event.read(formats.ToolIntent).call_id)
        elif event.kind == "tool_result":
            result = event.read(formats.ToolResult)
            self._calls.pop(result.call_id, None)
            self._intents.discard(result.call_id)
            self.messages.append(
                {"role": "tool", "tool_call_id": result.call_id, "content": result.content}
            )

    @property
    def unanswered(self) -> list[dict[str, Any]]:
        """Calls of the last response without a result yet, in their order."""
        return list(self._calls.values())

    def interrupted(self, call_id: str) -> bool:
        """Return whether an earlier life of this run began a call whose end is unknown."""
        return call_id in self._intents


def messages_of(result: Result) -> list[Message]:
    """Return the conversation of a run as its model has it; of several attempts the chosen one's.

    Raises RunError when the run's log is damaged.
    """
    if result.remembered is not None:
        return result.remembered
    directory = result.directory
    if result.choice:
        directory = directory.with_name(f"{directory.name}.{result.choice.attempt}")
    return Conversation(read_events(directory)).messages
