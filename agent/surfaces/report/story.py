"""What happened in a run, in its order, as a page tells it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from reapair.agent.log import formats
from reapair.agent.surfaces.report.charts import Series, stacked
from reapair.agent.words import guided_words as guided
from reapair.agent.words import run_words as words

if TYPE_CHECKING:
    from markupsafe import Markup

    from reapair.agent.log.events import Event

MOST_TEXT = 3_000_000
"""Characters that all texts of a page may take together; the event log has them whole."""


@dataclass
class Call:
    """One call of a tool. `seconds` is None when it was not run, or not to its end."""

    name: str
    about: str
    arguments: list[tuple[str, str]]
    gist: str = "no result: the run was stopped here"
    observation: str = ""
    ok: bool = False
    seconds: float | None = None


@dataclass
class Entry:
    """One thing that happened; `at` and `seconds` are seconds since the start, and of it."""

    kind: Literal["step", "discarded", "told", "note", "instruction"]
    step: int
    at: float
    title: str = ""
    reasoning: str = ""
    content: str = ""
    calls: list[Call] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """True when the answer or one of its calls came to nothing."""
        return self.kind == "discarded" or any(not call.ok for call in self.calls)

    @property
    def tool_seconds(self) -> float:
        """Seconds that its calls took."""
        return sum(call.seconds or 0.0 for call in self.calls)


def tell(events: Sequence[Event]) -> list[Entry]:
    """Return what happened, in its order."""
    return _Teller(events).entries


class _Teller:
    def __init__(self, events: Sequence[Event]) -> None:
        texts = 3 * sum(event.kind in ("response", "tool_result") for event in events)
        self._limit = max(1_500, min(20_000, MOST_TEXT // max(texts, 1)))
        self._start = events[0].ts if events else 0.0
        self._asked = self._start
        self._begun: dict[str, float] = {}
        self._calls: dict[str, Call] = {}
        self.entries: list[Entry] = []
        for event in events:
            handler = getattr(self, f"_on_{event.kind}", None)
            if handler is not None:
                handler(event)

    def _add(self, event: Event, kind: Any, title: str, **more: Any) -> Entry:
        entry = Entry(kind, event.step, event.ts - self._start, title, **more)
        self.entries.append(entry)
        return entry

    def _clip(self, value: Any) -> str:
        text: str = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if len(text) <= self._limit:
            return text
        head = self._limit * 2 // 3
        left_out = len(text) - self._limit
        tail = text[head + left_out :]
        return f"{text[:head]}\n[… {left_out:,} characters left out of this page …]\n{tail}"

    def _on_baseline(self, event: Event) -> None:
        counts = words.counts(event.read(formats.BaselineRun).counts)
        self._add(
            event, "note", f"The suite on the untouched repository: {counts or 'no test ran'}"
        )

    def _on_request(self, event: Event) -> None:
        self._asked = event.ts
        for message in event.read(formats.Asked).messages:
            role, content = message.get("role"), message.get("content")
            title = f"Told to the model ({role})"
            self._add(event, "told", title, content=self._clip(content or ""))

    def _on_response(self, event: Event) -> None:
        data = event.read(formats.Response)
        message = data.message
        thought = message.get("reasoning_content") or message.get("reasoning") or ""
        entry = self._add(
            event,
            "step",
            "",
            reasoning=self._clip(thought),
            content=self._clip(message.get("content") or ""),
            usage=data.usage,
            seconds=event.ts - self._asked,
        )
        for each in data.calls:
            arguments = each["arguments"]
            shown = [(name, self._clip(value)) for name, value in arguments.items()]
            about = words.call("", arguments)
            entry.calls.append(Call(str(each["name"]), about, shown))
            self._calls[each["id"]] = entry.calls[-1]
        if not entry.calls:
            entry.title = "Words without a call"

    def _on_discarded(self, event: Event) -> None:
        data = event.read(formats.Discarded)
        self._add(
            event,
            "discarded",
            f"{data.outcome}: {data.detail or 'answer not used'}",
            reasoning=self._clip(data.reasoning),
            content=self._clip(data.content),
            usage=data.usage,
            seconds=event.ts - self._asked,
        )
        self._asked = event.ts

    def _on_tool_intent(self, event: Event) -> None:
        self._begun[event.read(formats.ToolIntent).call_id] = event.ts

    def _on_tool_result(self, event: Event) -> None:
        result = event.read(formats.ToolResult)
        call = self._calls.get(result.call_id)
        if call is None:
            return
        call.observation, call.ok = self._clip(result.content), result.ok
        call.gist = words.gist(result.name, result.content)[:120]
        if result.call_id in self._begun:
            call.seconds = event.ts - self._begun[result.call_id]

    def _on_compaction(self, event: Event) -> None:
        made = event.read(formats.Compaction)
        said = f"Room made in the context ({made.reason}): {made.before} to {made.after}"
        self._add(event, "note", f"{said} tokens")

    def _on_suspects(self, event: Event) -> None:
        for number, row in enumerate(event.data["suspects"], 1):
            self._add(event, "note", f"Suspect {number}: {guided.suspect(row)}")

    def _on_reproduction(self, event: Event) -> None:
        self._add(event, "note", guided.tests(event.data).capitalize())

    def _on_question(self, event: Event) -> None:
        self._asked = event.ts
        title = f"Question {event.data['number']}: {', '.join(event.data['sites'])}"
        self._add(event, "told", title, content=self._clip(event.data["messages"][-1]["content"]))

    def _on_answer(self, event: Event) -> None:
        data = event.data
        entry = self._add(
            event,
            "told",
            f"Answer {data['number']}",
            reasoning=self._clip(data["reasoning"]),
            content=self._clip(data["content"]),
            usage=data["usage"],
            seconds=event.ts - self._asked,
        )
        entry.step = data["number"]
        self._asked = event.ts

    def _on_candidate(self, event: Event) -> None:
        said = guided.candidate(event.data).capitalize()
        content = "\n\n".join(part for part in (event.data["diff"], event.data["failure"]) if part)
        kind = "told" if content else "note"
        self._add(event, kind, said, content=self._clip(content))

    def _on_chosen(self, event: Event) -> None:
        self._add(event, "note", event.data["why"].capitalize())

    def _on_verification(self, event: Event) -> None:
        seen = event.read(formats.Verification)
        if not seen.choice:
            on = f" on {seen.on}" if seen.on else ""
            self._add(event, "note", f"Proof{on}: {seen.evidence['verdict']}")

    def _on_handover(self, event: Event) -> None:
        done = event.read(formats.Handover)
        if done.intent:
            return
        did = [f"branch {done.branch}"] if done.branch else []
        did += ["applied to the work tree"] if done.applied else []
        did += ["written to a file"] if done.patch_file else []
        self._add(event, "note", f"Handed over: {', '.join(did) or done.note or 'nothing'}")

    def _on_instruction(self, event: Event) -> None:
        said = event.read(formats.Instruction).text
        self._add(event, "instruction", "You said", content=self._clip(said))


def charts(entries: Sequence[Entry]) -> list[tuple[str, list[Series], Markup]]:
    """Return title, series and picture of each chart; none without an answer."""
    asked = [entry for entry in entries if entry.usage]
    if not asked:
        return []
    labels = [str(entry.step) for entry in asked]
    cached = [_number(entry, "cached_tokens") for entry in asked]
    tokens = [
        Series("reused", "reused", cached),
        Series(
            "recomputed",
            "read",
            [max(_number(e, "prompt_tokens") - c, 0) for e, c in zip(asked, cached, strict=True)],
        ),
        Series("generated", "written", [_number(entry, "completion_tokens") for entry in asked]),
    ]
    prefill = [_number(entry, "prefill_seconds") for entry in asked]
    decode = [_number(entry, "decode_seconds") for entry in asked]
    waited = [
        max(entry.seconds - read - written, 0.0)
        for entry, read, written in zip(asked, prefill, decode, strict=True)
    ]
    seconds = [
        Series("reading the prompt", "read", prefill),
        Series("writing", "written", decode),
        Series("else with the server", "waited", waited),
        Series("tools", "tools", [entry.tool_seconds for entry in asked]),
    ]
    pictures = []
    for title, unit, series in (
        ("Tokens of each request", "tokens", tokens),
        ("Seconds of each step", "s", seconds),
    ):
        picture = stacked(series, labels, title=f"{title}; the table has the numbers", unit=unit)
        pictures.append((title, series, picture))
    return pictures


def _number(entry: Entry, name: str) -> float:
    return float(entry.usage.get(name) or 0)
