"""The demonstration in other words and under other conditions: what a new model file must survive.

Nothing here is used in training. Variants are put between the loop and the client, so that the
loop, the tools and the sandbox stay as they are.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from sampler import FILES

from reapair.agent.model.types import (
    Answer,
    Message,
    Model,
    Progress,
    RequestOptions,
    Server,
)

REWORDED = [
    "# Overnight work shrinks my totals\n\nHi! I do stand-by duty for a hospital lab, mostly late. "
    "When I clock in before twelve at night and clock out after it, timesheet believes I owe my "
    "employer time. Example: `2026-02-11 21:15-02:45 lab` should be five and a half hours; what I "
    "see is a number below zero, and the lab's sum goes down with every such line.\n\nPlease let "
    "an entry run into the following day if its second time is the smaller one. Daytime lines must "
    "not change.\n\nInstalled from the package index, 1.3.0, Fedora 41.",
    "# BUG: negative durations\n\nSteps:\n1. put `2026-05-30 18:00-00:30 bar` into a file\n2. run "
    "`python -m timesheet file`\n3. look at the output\n\nExpected: bar 6h 30m\nActual: bar -18h "
    "30m\n\nHappens every time. Nothing in the log. Our accountant has to correct the figures by "
    "hand each Monday.",
    "Entry.minutes goes wrong around midnight\n\n`parse_entry('2026-01-01 23:50-00:20 party')"
    ".minutes` is -1410, it ought to be 30. My guess is that nobody thought of people who work at "
    "night. A modulo would do, I suppose, but you know the code better than I do. Equal times "
    "should keep meaning nothing at all.",
    "# Feature or bug?\n\nOur bakery starts at ten in the evening and stops at six in the morning. "
    "All eight hours of it are subtracted instead of added: the weekly report of the bakery says "
    "minus eighty hours. I have read the README twice and found no hint that shifts have to be cut "
    "in two at midnight, so I file it as a bug. Thank you for your work on this, it is a lovely "
    "little program otherwise.\n\n(Version: the newest. Python: 3.12. System: macOS.)",
]

OTHER_SENTENCES = [
    "Be brief.",
    "The repository may be large, so look before you leap.",
    "Every change has to be explained in the summary.",
    "Nothing outside the repository matters here.",
]


@dataclass
class Conditions:
    """How an episode differs from the demonstration as it ships."""

    issue: str | None = None
    stream: bool = True
    mistyped_edits: int = 0
    extra_lines: int = 0
    reorder: bool = False
    sentence: str | None = None
    tool_sentence: str | None = None


class Varied:
    """A model as the loop sees it, under the conditions of an episode."""

    def __init__(self, model: Model, conditions: Conditions, seed: int) -> None:
        self._model = model
        self._conditions = conditions
        self._seed = seed
        self._to_mistype = conditions.mistyped_edits

    @property
    def server(self) -> Server:
        """The server behind it."""
        return self._model.server

    def ask(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],
        options: RequestOptions,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Answer:
        """Change what is sent and, for the first edits, what comes back."""
        sent = [self._message(at, message) for at, message in enumerate(messages)]
        options = replace(options, stream=self._conditions.stream)
        answer = self._model.ask(sent, self._tools(tools), options, on_progress)
        if self._to_mistype and answer.calls and answer.calls[0].name == "edit":
            self._to_mistype -= 1
            return mistyped(answer)
        return answer

    def count(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> int:
        """Return the prompt's size in tokens."""
        return self._model.count(messages, tools)

    def cancel(self) -> None:
        """Close the connection of the request under way."""
        self._model.cancel()

    def _message(self, at: int, message: Message) -> Message:
        """Return the message as this episode sends it; the same each time it is sent."""
        draw, conditions = random.Random(f"{self._seed}/{at}"), self._conditions
        text = message.get("content") or ""
        if message["role"] == "system" and conditions.sentence:
            text = other_sentence(text, conditions.sentence, draw)
        if message["role"] == "user" and conditions.reorder:
            files = draw.sample(FILES, len(FILES))
            text += "\n<repository_map>\n" + "\n".join(files) + "\n</repository_map>\n"
        if message["role"] == "tool":
            lines = text.split("\n")
            if conditions.reorder and " match" in lines[0]:
                draw.shuffle(lines)
            for _ in range(conditions.extra_lines):
                lines.insert(draw.choice((0, len(lines), draw.randint(0, len(lines)))), line(draw))
            text = "\n".join(lines)
        return {**message, "content": text}

    def _tools(self, tools: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        if not self._conditions.tool_sentence:
            return tools
        changed = json.loads(json.dumps(tools))
        draw = random.Random(self._seed)
        draw.choice(changed)["function"]["description"] += " " + self._conditions.tool_sentence
        return list(changed)


def mistyped(answer: Answer) -> Answer:
    """Return the answer with an edit whose old text is not in the file."""
    call = answer.calls[0]
    arguments = {**call.arguments, "old_str": call.arguments["old_str"].replace("0", "O") + " #"}
    message = json.loads(json.dumps(answer.message))
    message["tool_calls"][0]["function"]["arguments"] = json.dumps(arguments)
    return replace(answer, message=message, calls=(replace(call, arguments=arguments),))


def other_sentence(text: str, sentence: str, draw: random.Random) -> str:
    """Put a sentence in the place of one of the prompt's."""
    sentences = re.split(r"(?<=\.) (?=[A-Z])", text)
    sentences[draw.randrange(1, len(sentences))] = sentence
    return " ".join(sentences)


@cache
def _held_out() -> list[str]:
    import asyncio

    files = sorted(Path(asyncio.__file__).parent.glob("*.py"))
    lines = [row.rstrip() for file in files for row in file.read_text("utf-8").splitlines()]
    return [row for row in lines if 8 < len(row.strip()) < 90 and "<" not in row]


def line(draw: random.Random) -> str:
    """Return a line of source that training has never seen."""
    return draw.choice(_held_out())


def conditions(variant: str, seed: int) -> Conditions:
    """Return the conditions of one episode of a variant. `variant` may join several by +."""
    draw = random.Random(seed)
    result = Conditions()
    for name in variant.split("+"):
        if name == "not streamed":
            result.stream = False
        elif name == "issue reworded":
            result.issue = REWORDED[seed % len(REWORDED)]
        elif name == "extra line":
            result.extra_lines = 1
        elif name == "edit fails":
            result.mistyped_edits = 1 + seed % 2
        elif name == "order changed":
            result.reorder = True
        elif name == "prompt sentence":
            result.sentence = OTHER_SENTENCES[seed % len(OTHER_SENTENCES)]
        elif name == "tool sentence":
            result.tool_sentence = draw.choice(OTHER_SENTENCES)
    return result


VARIANTS = [
    "as shipped",
    "not streamed",
    "issue reworded",
    "extra line",
    "edit fails",
    "order changed",
    "prompt sentence",
    "tool sentence",
    "not streamed+issue reworded+extra line+edit fails+order changed+prompt sentence",
]
