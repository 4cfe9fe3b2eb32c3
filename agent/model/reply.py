"""One answer as it came over the wire, put together from a stream or from a single body."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from reapair.agent.model.call_assembly import CallAssembly, RawCall
from reapair.agent.model.event_stream import ServerError, error_in, split_answer
from reapair.agent.model.loops import RepetitionDetector
from reapair.agent.model.types import Progress

OnProgress = Callable[[Progress], None]


@dataclass(slots=True)
class Reply:
    """Everything one answer said. `finish_reason` is None when the stream broke off."""

    content: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[RawCall] = field(default_factory=list)
    finish_reason: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, Any] = field(default_factory=dict)
    repetition: str = ""
    seconds_to_first_token: float | None = None
    seconds: float = 0.0


class StreamReader:
    """Collects the chunks of a stream; tolerates what servers do to them.

    Stops reading, with `finish_reason` "repetition", when the text goes round in circles, and with
    "length" when the reasoning has more than `reasoning_limit` characters.
    """

    def __init__(self, on_progress: OnProgress | None, reasoning_limit: float = math.inf) -> None:
        self._reasoning_left = reasoning_limit
        self._show = on_progress or (lambda _: None)
        self._started = time.monotonic()
        self._parts: dict[str, list[str]] = {"content": [], "reasoning": [], "refusal": []}
        self._calls = CallAssembly()
        self._loop = {"content": RepetitionDetector(), "reasoning": RepetitionDetector()}
        self._reply = Reply()

    def read(self, chunks: Iterable[Any]) -> Reply:
        """Return the whole answer. Raises ServerError for an error object among the chunks."""
        for chunk in chunks:
            self._take(chunk)
            if self._reply.repetition:
                self._reply.finish_reason = "repetition"
                break
            if self._reasoning_left < 0:
                self._reply.finish_reason = "length"
                break
        return self._finished()

    def _take(self, chunk: Any) -> None:
        if not isinstance(chunk, dict):
            return
        if (error := error_in(chunk)) is not None:
            raise ServerError(error)
        if isinstance(progress := chunk.get("prompt_progress"), dict):
            self._show(
                Progress("prefill", done=_int(progress, "processed"), total=_int(progress, "total"))
            )
        for key in ("usage", "timings"):
            if isinstance(chunk.get(key), dict):
                setattr(self._reply, key, chunk[key])
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return
        delta = choices[0].get("delta")
        if isinstance(delta, dict):
            self._take_delta(delta)
        if isinstance(reason := choices[0].get("finish_reason"), str):
            self._reply.finish_reason = reason

    def _take_delta(self, delta: dict[str, Any]) -> None:
        # Some servers send both names for the same text.
        self._take_text("reasoning", delta.get("reasoning_content") or delta.get("reasoning"))
        for kind, text in _parts(delta.get("content")):
            self._take_text(kind, text)
        self._take_text("refusal", delta.get("refusal"))
        calls = delta.get("tool_calls")
        for entry in calls if isinstance(calls, list) else [calls]:
            if isinstance(entry, dict):
                self._first_token()
                if text := self._calls.take(entry):
                    self._show(Progress("tool_call", text))

    def _take_text(self, kind: str, text: Any) -> None:
        if not isinstance(text, str) or not text:
            return
        self._first_token()
        self._parts[kind].append(text)
        if kind == "reasoning":
            self._reasoning_left -= len(text)
        if kind in self._loop:
            self._reply.repetition = self._reply.repetition or self._loop[kind].feed(text)
        if kind in ("content", "reasoning"):
            self._show(Progress(kind, text))  # type: ignore[arg-type]

    def _first_token(self) -> None:
        if self._reply.seconds_to_first_token is None:
            self._reply.seconds_to_first_token = time.monotonic() - self._started

    def _finished(self) -> Reply:
        reply = self._reply
        for kind, parts in self._parts.items():
            setattr(reply, kind, "".join(parts))
        reply.calls = self._calls.calls()
        reply.seconds = time.monotonic() - self._started
        return reply


def read_body(body: Any, seconds: float) -> Reply:
    """Return the answer in a body that came in one piece. Raises ServerError for an error in it."""
    if not isinstance(body, dict):
        raise ServerError(f"the server answered with {type(body).__name__} instead of an object")
    if (error := error_in(body)) is not None:
        raise ServerError(error)
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    reader = StreamReader(None)
    if isinstance(choice, dict) and isinstance(message, dict):
        delta = {**message, "tool_calls": _numbered(message.get("tool_calls"))}
        reply = reader.read([{**body, "choices": [{**choice, "delta": delta}]}])
    else:
        reply = reader.read([])
    reply.seconds, reply.seconds_to_first_token = seconds, None
    return reply


def read_answer(pieces: Iterable[bytes], reader: StreamReader) -> Reply:
    """Return the answer in a response's bytes, whether it came as a stream or in one piece.

    Raises ServerError for an error in it, ValueError for what can't be read.
    """
    started = time.monotonic()
    body, chunks = split_answer(pieces)
    return reader.read(chunks) if body is None else read_body(body, time.monotonic() - started)


def _parts(content: Any) -> list[tuple[str, Any]]:
    """Return the texts of a content and what each is; some servers send a list of parts."""
    if not isinstance(content, list):
        return [("content", content)]
    parts = []
    for part in content:
        if isinstance(part, dict):
            kind = "reasoning" if part.get("type") in ("thinking", "reasoning") else "content"
            inner = part.get("thinking") or part.get("reasoning") or part.get("text")
            parts += [(kind, text) for _, text in _parts(inner)]
        else:
            parts.append(("content", part))
    return parts


def _numbered(calls: Any) -> list[Any]:
    """Give each call of a whole body its place, as a stream does."""
    entries = calls if isinstance(calls, list) else []
    return [{**c, "index": i} if isinstance(c, dict) else c for i, c in enumerate(entries)]


def _int(values: dict[str, Any], key: str) -> int:
    value = values.get(key)
    return value if isinstance(value, int) else 0
