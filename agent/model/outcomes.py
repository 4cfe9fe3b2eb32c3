"""What became of a request: every reply falls into exactly one `Outcome`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from reapair.agent.model.call_assembly import RawCall
from reapair.agent.model.control_tokens import ANY_FAMILY, ControlTokens
from reapair.agent.model.limits import CALLS
from reapair.agent.model.reply import Reply
from reapair.agent.model.salvage import salvage
from reapair.agent.model.toolcalls import CheckedCall, MalformedArguments, check, safe_id
from reapair.agent.model.types import Answer, Message, Outcome, Usage

_MARKUP = re.compile(r"</?(tool_call|arg_key|arg_value|function=|invoke|parameter=)|<\|tool_call")
_TURN_END = re.compile(r"<\|(?:user|observation|endoftext|im_end)\|>")

_THOUGHT = r"(?:[a-z]+:)?think(?:ing)?"
_THOUGHT_START = re.compile(rf"\A\s*(?:<{_THOUGHT}>|\[THINK\])")
_THOUGHT_END = re.compile(rf"</{_THOUGHT}>|\[/THINK\]")
_LEFT_OVER = re.compile(rf"\A(?:\s*(?:</{_THOUGHT}>|\[/THINK\]|<{_THOUGHT}>\s*</{_THOUGHT}>))+\s*")

REASONING_IN_CONTENT = "the server left the reasoning in the text"


def classify(
    reply: Reply,
    messages: Sequence[Message],
    tools: Sequence[dict[str, Any]],
    usage: Usage,
    *,
    rescue: bool = True,
    control: ControlTokens = ANY_FAMILY,
) -> Answer:
    """Return the classified answer for a reply that came with status 200.

    With `rescue`, calls that stand in the text are taken from there. `control` broke up what the
    model was given to read.
    """
    content, reasoning = _separate(reply)
    answer = Answer(
        Outcome.EMPTY,
        detail="" if reasoning == reply.reasoning else REASONING_IN_CONTENT,
        content=content,
        reasoning=reasoning,
        finish_reason=reply.finish_reason,
        usage=usage,
    )
    if ended := _ended_badly(reply, answer):
        return ended
    calls, salvaged = reply.calls, False
    if rescue and not calls and (found := _salvaged(content, reasoning, messages, tools)):
        calls, content, reasoning = found
        salvaged = True
    if calls:
        answer = replace(answer, content=content, reasoning=reasoning, salvaged=salvaged)
        return _with_calls(answer, calls, tools, f"call_{len(messages)}", control)
    return _without_calls(answer)


def assistant_message(content: str, reasoning: str, calls: Sequence[CheckedCall]) -> Message:
    """Return the message to store: reasoning byte for byte, under one of its two names."""
    message: Message = {"role": "assistant", "content": content}
    if reasoning:
        message |= {"reasoning_content": reasoning}
    if calls:
        message["tool_calls"] = [checked.stored for checked in calls]
    return message


def _separate(reply: Reply) -> tuple[str, str]:
    """Return content and reasoning, apart even where the server left them together.

    A tag that its parser left behind at the start of the content is no content.
    """
    content, reasoning = reply.content, reply.reasoning
    if not reasoning and (end := _THOUGHT_END.search(content)):
        reasoning, content = content[: end.start()], content[end.end() :]
        reasoning = _THOUGHT_START.sub("", reasoning)
    elif not reasoning and (start := _THOUGHT_START.match(content)):  # it never came to an end
        reasoning, content = content[start.end() :], ""
    content = _LEFT_OVER.sub("", content)
    if end := _TURN_END.search(content):  # an old GGUF that does not know its end tokens
        content = content[: end.start()]
    return content, reasoning


def _ended_badly(reply: Reply, answer: Answer) -> Answer | None:
    """Classify an answer that did not come to its own end: nothing of it may be run or stored."""
    reason = reply.finish_reason
    if reason is None:
        return replace(answer, outcome=Outcome.BROKEN_STREAM, detail="the stream broke off")
    if reason == "repetition":
        detail = f"the answer repeated itself: {reply.repetition[:60]!r}"
        return replace(answer, outcome=Outcome.REPETITION, detail=detail)
    if reason == "length":
        return replace(answer, outcome=Outcome.TRUNCATED, detail="the answer was cut at its limit")
    if reason == "content_filter" or reply.refusal:
        detail = reply.refusal or "the server's filter stopped the answer"
        return replace(answer, outcome=Outcome.REFUSED, detail=detail)
    if reason in ("abort", "error"):
        detail = f"the server ended the answer: {reason}"
        return replace(answer, outcome=Outcome.BROKEN_STREAM, detail=detail)
    return None


def _salvaged(
    content: str, reasoning: str, messages: Sequence[Message], tools: Sequence[dict[str, Any]]
) -> tuple[list[RawCall], str, str] | None:
    """Return calls found in the text, with content and reasoning as they are without them."""
    given = [str(message.get("content")) for message in messages if message["role"] != "assistant"]
    if found := salvage(content, tools, given):
        return list(found.calls), found.before, reasoning
    if not content.strip() and (found := salvage(reasoning, tools, given, fences=False)):
        return list(found.calls), "", found.before
    return None


def _with_calls(
    answer: Answer,
    raw: Sequence[RawCall],
    tools: Sequence[dict[str, Any]],
    id_prefix: str,
    control: ControlTokens,
) -> Answer:
    checked: list[CheckedCall] = []
    taken: set[str] = set()
    for number, call in enumerate(raw[:CALLS]):
        call_id = safe_id(call.id)
        if not call_id or call_id in taken:
            call_id = f"{id_prefix}_{number}"
        taken.add(call_id)
        try:
            checked.append(check(call, tools, call_id, control))
        except MalformedArguments as error:
            detail = f"{call.name or 'a call'}: {error}"
            return replace(answer, outcome=Outcome.FORMAT_ERROR, detail=detail)
    if len(raw) > CALLS:
        left_out = f"{len(raw) - CALLS} more calls were left out: at most {CALLS} in one reply."
        last = checked[-1]
        checked[-1] = replace(last, call=replace(last.call, notes=(*last.call.notes, left_out)))
    return replace(
        answer,
        outcome=Outcome.TOOL_CALLS,
        message=assistant_message(answer.content, answer.reasoning, checked),
        calls=tuple(item.call for item in checked),
    )


def _without_calls(answer: Answer) -> Answer:
    if answer.content.strip():
        if _MARKUP.search(answer.content):
            detail = "the call could not be read"
            return replace(answer, outcome=Outcome.FORMAT_ERROR, detail=detail)
        message = assistant_message(answer.content, answer.reasoning, ())
        return replace(answer, outcome=Outcome.FINAL_TEXT, message=message)
    if answer.reasoning.strip():
        return replace(answer, outcome=Outcome.REASONING_ONLY, detail="only reasoning, no answer")
    return replace(answer, outcome=Outcome.EMPTY, detail="an empty answer")
