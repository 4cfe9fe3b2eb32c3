"""A finished run, read back from its events the way that training needs it.

A compaction ends a segment: within one, each request begins with the tokens of the one before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reapair.agent.lab.evaluate.records import Record, read_record
from reapair.agent.lab.export.licence import licence_of
from reapair.agent.lab.export.scrub import Scrubber
from reapair.agent.log import formats
from reapair.agent.log.conversation import Conversation
from reapair.agent.log.event_log import read_events
from reapair.agent.log.events import Event
from reapair.agent.log.turns import finished
from reapair.agent.model import request
from reapair.agent.model.types import Message, Server


@dataclass(slots=True)
class Turn:
    """One message of a conversation, in the form in which the model was given it.

    Attributes:
        ts: when it came, in seconds since the epoch; 0.0 for what a compaction has written.
        copied: it stands in the segment before, too, or a compaction has written it.
        failed: one of its calls did not do what it was for.
        masked: not to be learned from.
        usage: tokens of the request that it answers; None for what the model has not written.
    """

    message: Message
    ts: float = 0.0
    copied: bool = False
    failed: bool = False
    masked: bool = False
    usage: dict[str, Any] | None = None


@dataclass(slots=True)
class Segment:
    """An unbroken conversation; `discarded` are samples that were not used, and where they fell."""

    turns: list[Turn]
    discarded: list[dict[str, Any]] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Tokens of the whole conversation; by its size where the server did not say."""
        for turn in reversed(self.turns):
            if turn.usage and turn.usage.get("prompt_tokens"):
                return int(turn.usage["prompt_tokens"] + (turn.usage["completion_tokens"] or 0))
        return sum(len(str(turn.message)) for turn in self.turns) // 3


@dataclass(slots=True)
class Trajectory:
    """One run and what became of it.

    Attributes:
        instance_id: the task in an evaluation; else the run's id.
        resolved: what hidden tests say; None where nobody has graded it.
        usage: tokens and seconds of the whole run.
        declared: what a trainer must know: how many answers were discarded, how many calls were
            found in text, how often the conversation was compacted, what was scrubbed.
    """

    run: str
    instance_id: str
    model: str
    tools: list[dict[str, Any]]
    segments: list[Segment]
    resolved: bool | None
    verdict: str
    exit_reason: str
    patch: str
    image: str | None
    licence: str | None
    usage: dict[str, Any]
    declared: dict[str, Any]

    @property
    def name(self) -> str:
        """A name that is unique among the runs of an evaluation, and fit for a file."""
        return self.run if self.instance_id == self.run else f"{self.instance_id}.{self.run}"

    def part(self, number: int) -> str:
        """Return the name of a segment, counted from 1."""
        return self.name if number == 1 else f"{self.name}.part{number}"


def read_trajectory(directory: Path) -> Trajectory | None:
    """Return the run in a directory, scrubbed; None when it is not finished or asked nobody.

    Raises RunError for a log that can't be read.
    """
    events = read_events(directory)
    result = finished(events)
    if result is None or not any(event.kind == "response" for event in events):
        return None
    started = events[0].read(formats.RunStarted)
    server, settings = started.server, started.settings
    scrubber = Scrubber(started.repository)
    segments = _Reader(server, started.tools).read(events)
    record, resolved = _grade(directory)
    for segment in segments:
        _scrub(segment, scrubber)
    answers = [event for event in events if event.kind == "response"]
    patch = directory / "patch.diff"
    return Trajectory(
        run=directory.name,
        instance_id=record.instance_id if record else directory.name,
        model=server.get("family") or server["model"],
        tools=started.tools,
        segments=segments,
        resolved=resolved,
        verdict=result["evidence"]["verdict"],
        exit_reason=result["exit_reason"],
        patch=scrubber.text(patch.read_text("utf-8", "replace")) if patch.exists() else "",
        image=settings.get("image"),
        licence=(record and record.licence) or _licence(directory, events),
        usage=result.get("usage") or {},
        declared={
            "discarded": sum(event.kind == "discarded" for event in events),
            "salvaged": sum(event.read(formats.Response).salvaged for event in answers),
            "compactions": sum(event.kind == "compaction" for event in events),
            "rescue": settings.get("rescue", True),
            "scrubbed": scrubber.found,
        },
    )


def _scrub(segment: Segment, scrubber: Scrubber) -> None:
    for turn in segment.turns:
        turn.message = scrubber.value(turn.message)
    segment.discarded = scrubber.value(segment.discarded)


def _licence(directory: Path, events: Iterable[Event]) -> str | None:
    trees = [e.read(formats.SnapshotTaken).tree for e in events if e.kind == "snapshot"]
    return licence_of(directory / "store", trees[0]) if trees else None


def _grade(directory: Path) -> tuple[Record | None, bool | None]:
    """Return the record of the evaluation that a run belongs to, and whether it is resolved."""
    place = directory.parent.parent
    record = read_record(place)
    if record is None:
        return None, None
    for attempt in record.attempts:
        if place / attempt.run == directory and attempt.grade:
            return record, attempt.grade.resolved
    return record, None


class _Reader:
    """Rebuilds the conversations of a run, message by message.

    Facts about a message travel inside it, under a name that no message has, so that a compaction
    carries them to where they belong.
    """

    _FACTS = "\0"

    def __init__(self, server: dict[str, Any], tools: list[dict[str, Any]]) -> None:
        known = {name: server[name] for name in Server.__slots__ if name in server}
        self._server, self._tools = Server(**known), tools
        self._history = Conversation()
        self._segments: list[Segment] = []
        self._discarded: list[dict[str, Any]] = []

    def read(self, events: Iterable[Event]) -> list[Segment]:
        for event in events:
            if event.kind == "compaction":
                self._end_segment()
            self._history.apply(event)
            self._note_new(event)
            if event.kind == "compaction":
                for message in self._history.messages:
                    message[self._FACTS].copied = True
            elif event.kind == "discarded":
                self._discarded.append(self._unused(event))
            elif event.kind == "tool_result" and not event.read(formats.ToolResult).ok:
                self._last_answer().failed = True
        self._end_segment()
        return self._segments

    def _note_new(self, event: Event) -> None:
        messages = self._history.messages
        usage = event.read(formats.Response).usage if event.kind == "response" else None
        for number, message in enumerate(messages):
            if self._FACTS not in message:
                facts = Turn({}, event.ts, usage=usage)
                messages[number] = {**message, self._FACTS: facts}

    def _last_answer(self) -> Turn:
        answers = [each for each in self._history.messages if each["role"] == "assistant"]
        last: Turn = answers[-1][self._FACTS]
        return last

    def _unused(self, event: Event) -> dict[str, Any]:
        kept = ("outcome", "finish_reason", "content", "reasoning")
        facts = {name: event.data[name] for name in kept}
        return {"after_message": len(self._history.messages), "step": event.step, **facts}

    def _end_segment(self) -> None:
        """Keep the conversation so far as a segment, if the model has said something in it."""
        messages = self._history.messages
        facts: list[Turn] = [message[self._FACTS] for message in messages]
        if any(turn.usage is not None and not turn.copied for turn in facts):
            plain = [
                {key: value for key, value in message.items() if key != self._FACTS}
                for message in messages
            ]
            sent = request.prompt(self._server, plain, self._tools, thinking=True)["messages"]
            turns = [_as_sent(fact, message) for fact, message in zip(facts, sent, strict=True)]
            self._segments.append(Segment(turns, self._discarded))
            self._discarded = []


def _as_sent(facts: Turn, message: Message) -> Turn:
    # Servers know the same text under two names; training code knows it under one.
    message = {key: value for key, value in message.items() if key != "reasoning"}
    if facts.copied:  # Learned from where it was written first.
        return Turn(message, facts.ts, copied=True, failed=facts.failed)
    return Turn(message, facts.ts, False, facts.failed, False, facts.usage)
