"""Making room in the conversation: rarely, in one block, and always with a result that fits.

First by rule: old observations become one-line stubs that say how to get them back. Where that is
not enough, everything but the last turns becomes one message: the model's own summary, or a digest
made by rule when it cannot write one. Each is one `compaction` event; the prompt cache is paid for
once, and then the history only grows again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from reapair.agent.log.conversation import OPENING, Plan
from reapair.agent.log.formats import Instruction, ToolIntent, ToolResult
from reapair.prompts import Prompts
from reapair.tools import clip

if TYPE_CHECKING:
    from reapair.agent.log.events import Event
    from reapair.agent.model.types import Message

STUB_LIMIT = 300
"""Bytes below which an observation is not worth replacing."""


def plan(
    messages: Sequence[Message],
    events: Sequence[Event],
    target: int,
    *,
    count: Callable[[Sequence[Message]], int],
    summarise: Callable[[], str],
    diff: Callable[[], str],
    looping: bool = False,
    prompts: Prompts | None = None,
) -> Plan:
    """Return the mildest compaction after which the prompt has at most `target` tokens.

    Args:
        messages: the conversation; every call in it has its result.
        events: the run's log, for the digest.
        target: tokens.
        count: returns the tokens of a conversation.
        summarise: returns the model's summary, or "" when it can't give one; called once at most.
        diff: returns the change made so far.
        looping: the last turns repeat themselves, so none of them is kept.
        prompts: default: ours.
    """
    turns = _turns(messages)
    mild = Plan(_stubs(messages, turns[-4] if len(turns) >= 4 else OPENING), [], len(messages))
    if not looping and count(mild.apply(messages)) <= target:
        return mild
    insert = _instead(events, target, summarise(), diff(), prompts or Prompts())
    plans = list(_plans(messages, turns, insert, (0,) if looping else (3, 2, 1, 0)))
    return next((each for each in plans if count(each.apply(messages)) <= target), plans[-2])


def _instead(
    events: Sequence[Event], target: int, summary: str, diff: str, prompts: Prompts
) -> list[Message]:
    """Return the messages that stand for what is left out."""
    # A quarter of the target for each, at about three bytes a token.
    bytes_each = max(300, target * 3 // 4)
    digest = prompts.render(
        "compacted",
        summary=clip(summary, bytes_each) if summary else "",
        steps=[] if summary else _steps(events),
        diff=clip(diff, bytes_each),
    )
    # The user's own words, said since the issue, are never only summed up.
    said = [e.read(Instruction).text for e in events if e.kind == "instruction"]
    texts = [clip(digest, bytes_each * 2), *(clip(text, bytes_each) for text in said)]
    return [{"role": "user", "content": text} for text in texts]


def _plans(
    messages: Sequence[Message], turns: list[int], insert: list[Message], keeping: Iterable[int]
) -> Iterator[Plan]:
    """Yield plans that keep so many of the last turns: first whole, then with stubs."""
    for keep in keeping:
        if keep <= len(turns):
            start = turns[-keep] if keep else len(messages)
            yield Plan({}, insert, start)
            yield Plan(_stubs(messages, len(messages)), insert, start)


def _turns(messages: Sequence[Message]) -> list[int]:
    """Return where each turn begins: at the model's message, its results follow."""
    return [i for i, message in enumerate(messages) if message["role"] == "assistant"]


def _stubs(messages: Sequence[Message], before: int) -> dict[str, str]:
    """Return stubs for the observations in front of an index that are worth it."""
    calls = {
        call["id"]: call["function"]
        for message in messages
        for call in message.get("tool_calls", ())
    }
    return {
        message["tool_call_id"]: (
            f"[{len(message['content'].splitlines())} lines of this result were left out to save "
            f"room. Call {calls[message['tool_call_id']]['name']} again if you need them.]"
        )
        for message in messages[:before]
        if message["role"] == "tool" and len(message["content"]) > STUB_LIMIT
    }


def _steps(events: Sequence[Event]) -> list[str]:
    """Return one line for each call made so far, the latest last."""
    calls: dict[str, str] = {}
    lines = []
    for event in events:
        if event.kind == "tool_intent":
            intent = event.read(ToolIntent)
            calls[intent.call_id] = _call(intent.name, intent.arguments)
        elif event.kind == "tool_result" and (result := event.read(ToolResult)).call_id in calls:
            first = result.content.strip().partition("\n")[0]
            lines.append(f"{calls[result.call_id]}: {first[:100]}")
    return lines[-40:]


def _call(name: str, arguments: dict[str, Any]) -> str:
    about = next((str(value) for value in arguments.values()), "")
    return f"{name} {about.partition(chr(10))[0][:80]}".strip()
