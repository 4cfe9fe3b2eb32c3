"""Conversations to learn from: the real prompts, tools and observations, varied.

Everything comes from `recorded.json` (see record.py) and episode.py. What the model must not
depend on is varied: the words of the issue, single sentences of the prompts, the order and number
of lines in what tools show, lines that were not there before. Branches in which an edit fails or a
test does not pass are walked through too.
"""

from __future__ import annotations

import copy
import os
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import episode

Message = dict[str, Any]
MAX_TURNS = 16


@dataclass(frozen=True)
class Sample:
    """A conversation. `learn` tells for each assistant message whether it is one to imitate."""

    messages: list[Message]
    tools: list[dict[str, Any]]
    learn: list[bool]


class Sampler:
    """Draws conversations from a recording, with a random generator of its own."""

    def __init__(self, recorded: dict[str, Any], seed: int) -> None:
        self._recorded = recorded
        self._random = random.Random(seed)

    def draw(self, *, short: bool = False, vary: bool = True) -> Sample:
        """Return one conversation; a `short` one has its prompts and observations cut down."""
        draw = self._random
        system, tools = self._recorded["system"], copy.deepcopy(self._recorded["tools"])
        user = self._user(short) if vary else self._recorded["user"]
        if short:
            system, tools = self._cut_prompts(system, tools)
        elif vary:
            if draw.random() < 0.5:
                system = self._reword(system)
            if draw.random() < 0.25:
                self._change_tools(tools)
        turns, learn = self._turns(short, vary)
        first = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        return Sample(first + turns, tools, learn)

    # -- what comes before the model's first turn ------------------------------------------------

    def _user(self, short: bool) -> str:
        """Return the first user message with the issue in some words and things around it."""
        draw, issue = self._random, self._recorded["issue"]
        if draw.random() < 0.7:
            issue = self._issue(short)
        text = self._recorded["user"].replace(self._recorded["issue"], issue)
        if draw.random() < 0.25:
            text += draw.choice(("\n", "\n\n")) + self._aside()
        if draw.random() < 0.25:
            text = self._aside() + draw.choice(("\n", "\n\n")) + text
        if draw.random() < 0.2:
            text += f"\nThe tests are run with: {draw.choice(TEST_COMMANDS)}\n"
        if draw.random() < 0.25:
            text += f"\n<repository_map>\n{self._map()}\n</repository_map>\n"
        return text

    def _issue(self, short: bool) -> str:
        draw = self._random
        title, *body = [draw.choice(part) for part in episode.ISSUE_PARTS]
        body += draw.sample(episode.FILLER, draw.randint(0, 3))
        if draw.random() < 0.5:
            draw.shuffle(body)
        keep = draw.randint(0, 2) if short else draw.randint(2, len(body))
        body = sorted(draw.sample(body, keep), key=body.index)
        strange = draw.choice((0.0, 0.0, 0.2, 0.5, 0.9))
        body = [self._aside() if draw.random() < strange else part for part in body]
        if draw.random() < strange:
            title = noise(draw, 1, 1).strip()
        return "\n\n".join([draw.choice(("# ", "")) + title, *body])

    def _map(self) -> str:
        draw = self._random
        names = draw.sample(FILES, draw.randint(3, len(FILES)))
        size = draw.random() < 0.5
        return "\n".join(f"{x} ({draw.randint(5, 90)} lines)" if size else x for x in names)

    def _aside(self) -> str:
        draw = self._random
        return noise(draw, 1, 3) if draw.random() < 0.5 else draw.choice(episode.FILLER)

    def _reword(self, text: str) -> str:
        """Change, drop or add a few sentences of a prompt."""
        draw = self._random
        lines = text.split("\n")
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(lines))
            new = draw.choice(episode.RULES) if draw.random() < 0.6 else noise(draw, 1, 1)
            sentences = re.split(r"(?<=\.) ", lines[at])
            sentences[draw.randrange(len(sentences))] = new
            lines[at : at + 1] = draw.choice(
                ([" ".join(sentences)], [" ".join(sentences)], [], [lines[at], f"- {new}"])
            )
            lines = lines or [new]
        return "\n".join(lines)

    def _change_tools(self, tools: list[dict[str, Any]]) -> None:
        """Change descriptions, or add a tool that is not there yet."""
        draw = self._random
        if draw.random() < 0.5:
            function = draw.choice(tools)["function"]
            function["description"] = self._reword(function["description"])
        if draw.random() < 0.5:
            extra = copy.deepcopy(draw.choice(tools))
            extra["function"]["name"] = draw.choice(("symbols", "todo", "note", "outline"))
            extra["function"]["description"] = draw.choice(episode.RULES)
            tools.insert(draw.randrange(len(tools) + 1), extra)

    def _cut_prompts(
        self, system: str, tools: list[dict[str, Any]]
    ) -> tuple[str, list[dict[str, Any]]]:
        draw = self._random
        lines = system.split("\n")
        count = draw.randint(1, 10)
        start = draw.randrange(len(lines) - count)
        for tool in tools:
            function = tool["function"]
            function["description"] = function["description"].split(". ")[0]
            for entry in function["parameters"]["properties"].values():
                entry.pop("description", None)
        if draw.random() < 0.9:
            tools = draw.sample(tools, draw.randint(1, 3))
        return "\n".join(lines[start : start + count]), tools

    # -- the turns -------------------------------------------------------------------------------

    def _turns(self, short: bool, vary: bool) -> tuple[list[Message], list[bool]]:
        draw, turns, learn = self._random, [], []
        situation = episode.START
        while situation != "end":
            step = episode.STEPS[situation]
            troubles = vary and len(learn) < MAX_TURNS and draw.random() < TROUBLE
            arguments, text, after, good = step.arguments, self._seen(situation), step.after, True
            if troubles and situation in MISTYPED:
                kind = draw.randrange(episode.MISTYPED_KINDS)
                text = self._recorded["mistyped"][situation][kind]
                after, good = MISTYPED[situation], draw.random() < 0.3
                if not good:
                    arguments = episode.mistyped(arguments, kind)
            elif troubles and situation in SURPRISES:
                recorded, after = SURPRISES[situation]
                text = self._recorded[recorded]
            turns.append(assistant(step.reasoning, step.tool, arguments))
            learn.append(good)
            if after != "end":
                turns.append(tool_result(self._perturb(situation, text, short) if vary else text))
            situation = after
        return turns, learn

    def _seen(self, situation: str) -> str:
        """Return what the tool showed in this situation when the episode was recorded."""
        return self._recorded["observations"].get(SAME_AS.get(situation, situation), "")

    def _perturb(self, situation: str, text: str, short: bool) -> str:
        draw = self._random
        lines = text.split("\n")
        if situation == "search" and draw.random() < 0.4:
            draw.shuffle(lines)
        if short and len(lines) > 8 and draw.random() < 0.8:
            middle = sorted(draw.sample(range(2, len(lines) - 3), draw.randint(1, 5)))
            lines = lines[:2] + [lines[at] for at in middle] + lines[-3:]
        if draw.random() < 0.4:
            lines = [COUNTS.sub(self._other_count, line) for line in lines]
        if draw.random() < 0.45:
            extra = self._extra_lines()
            at = draw.choice((0, len(lines), len(lines), draw.randint(0, len(lines))))
            lines[at:at] = extra
        return "\n".join(lines)

    def _extra_lines(self) -> list[str]:
        draw = self._random
        kinds: tuple[Callable[[], str], ...] = (
            lambda: noise(draw, 1, 2),
            lambda: noise(draw, 2, 5),
            lambda: draw.choice(episode.FILLER),
            lambda: draw.choice(episode.RULES),
            lambda: draw.choice(NOTICES).format(draw.randint(3, 90)),
            lambda: draw.choice(("note: ", "warning: ", "hint: ")) + noise(draw, 1, 1).strip(),
        )
        return draw.choice(kinds)().split("\n")

    def _other_count(self, match: re.Match[str]) -> str:
        return f"{max(1, int(match[1]) + self._random.randint(-3, 12))} {match[2]}"


TROUBLE = 0.13
"""How often a turn goes wrong."""

MISTYPED = {"reproduce": "reread_tests", "fix": "reread_code"}
SURPRISES = {
    "see_it_fail": ("not_reproduced", "fix"),
    "see_it_pass": ("not_fixed", "still_failing"),
}
"""Situations that can go otherwise: what is seen then, and the situation that follows."""

SAME_AS = {
    "reread_tests": "tests",
    "reread_code": "read",
    "still_failing": "read",
}
"""Situations that show what another one shows."""

COUNTS = re.compile(r"\b(\d+) (passed|failed|tests?|lines?|matches|files?)\b")
NOTICES = (
    "[{0} of 75 steps left. Make the edit now if you have not.]",
    "[{0} of 20 steps left. Make the edit now if you have not.]",
    "[{0} of 20 steps left. Finish and submit soon.]",
    "[{0} steps left. Submit now: what is in the tree at the end is taken.]",
)
TEST_COMMANDS = ("pytest", "python -m pytest -q", "make test", "tox -e py311", "pytest -x tests")
FILES = [
    "README.md",
    "pyproject.toml",
    "timesheet/__init__.py",
    "timesheet/__main__.py",
    "timesheet/clock.py",
    "timesheet/entry.py",
    "timesheet/report.py",
    "tests/test_clock.py",
    "tests/test_entry.py",
    "tests/test_report.py",
]


def assistant(reasoning: str, tool: str, arguments: dict[str, Any]) -> Message:
    """Return a turn of the model with one call."""
    call = {"function": {"name": tool, "arguments": arguments}}
    return {
        "role": "assistant", "content": "", "reasoning_content": reasoning, "tool_calls": [call]
    }  # fmt: skip


def tool_result(text: str) -> Message:
    """Return what the model reads after a call."""
    return {"role": "tool", "content": text}


def noise(draw: random.Random, least: int, most: int) -> str:
    """Return some consecutive lines of the standard library's source."""
    lines = _library()
    count = draw.randint(least, most)
    at = draw.randrange(len(lines) - count)
    return "\n".join(lines[at : at + count])


@cache
def _library() -> list[str]:
    files = sorted(Path(os.__file__).parent.glob("*.py"))[:150]
    lines = (line.rstrip() for file in files for line in file.read_text("utf-8").splitlines())
    return [line for line in lines if 8 < len(line.strip()) < 90 and "<" not in line]
