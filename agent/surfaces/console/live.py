"""The live view of a terminal: steps pass above it; below them what is done right now."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reapair.agent.log import formats
from reapair.agent.surfaces.console.lines import DIFF_LINES, Level, Screen, print_json
from reapair.agent.words import run_words as words
from reapair.agent.words.terminal_safe import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console, RenderableType
    from rich.live import Live

    from reapair.agent.log.events import Event
    from reapair.agent.result import Result

REFRESHES = 4
"""How often a second the view is drawn again: enough for a clock and a bar."""

_PASSING = frozenset({"environment", "verification"})
"""Phases whose progress is of interest only while it lasts."""

_DOING = {
    "reasoning": "thinking",
    "content": "writing",
    "tool_call": "writing a call",
    "waiting": "waiting for the server",
}


@dataclass
class _Work:
    """Where one attempt is: what the view shows of it."""

    phase: str = "starting"
    step: int = 0
    read: tuple[int, int] | None = None
    over: bool = False
    prompt: int = 0
    cached: int = 0
    generated: int = 0
    speed: float = 0.0


@dataclass
class _Progress:
    """What the view shows of the whole run."""

    title: str = ""
    began: float = field(default_factory=time.monotonic)
    steps: int = 0
    several: bool = False
    work: dict[int, _Work] = field(default_factory=dict)

    def total(self, name: str) -> int:
        return sum(getattr(each, name) for each in self.work.values())

    def facts(self) -> list[str]:
        """Return the parts of the progress line, the most important first."""
        said = [words.clock(time.monotonic() - self.began)]
        if not self.several:
            step = max((each.step for each in self.work.values()), default=0)
            said.append(f"step {max(step, 1)} of {self.steps}" if self.steps else f"step {step}")
        prompt = self.total("prompt")
        if prompt:
            said.append(f"{words.short_count(prompt + self.total('generated'))} tokens")
            said.append(f"{100 * self.total('cached') // prompt} % reused")
        speeds = [each.speed for each in self.work.values() if each.speed and not each.over]
        if speeds:
            said.append(f"{sum(speeds):.0f} tokens/s")
        return said


class LiveScreen(Screen):
    """Shows a run on a terminal. Of several attempts only the ends stay, unless it is verbose."""

    def __init__(self, console: Console, level: Level = "normal") -> None:
        super().__init__(console, level)
        self._progress = _Progress()
        self._live: Live | None = None

    @property
    def live(self) -> bool:
        """True while a view is kept up to date that other output would tear."""
        return self._live is not None

    def show(self, event: Event) -> None:
        """Show one event: a line that stays, or a change of the view."""
        if self._live is None and self._level != "quiet":
            self._open()
        self._follow(event)
        quiet = event.kind in ("tool_result", "verification", "compaction", "discarded")
        if "." in event.run and quiet and self._level != "verbose":
            return
        super().show(event)

    def close(self) -> None:
        """Take the view away and leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _on_run_started(self, event: Event) -> None:
        self._run_line(event)  # The title stands in the view, and before the result.

    def result(self, result: Result, directory: str, *, lines: int | None = DIFF_LINES) -> None:
        """Show how the run ended, under its title."""
        self.close()
        if self._level != "quiet" and self._progress.title:
            self._gap()
            self._line(self._progress.title, "bold", fit=True)
        super().result(result, directory, lines=lines)

    def _open(self) -> None:
        from rich.live import Live
        from rich.spinner import Spinner

        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(
            console=self._console,
            get_renderable=self._view,
            refresh_per_second=REFRESHES,
            transient=True,
        )
        self._live.start()

    def _on_progress(self, event: Event) -> None:
        if event.read(formats.Progress).phase not in _PASSING or self._level == "verbose":
            super()._on_progress(event)

    def _follow(self, event: Event) -> None:
        """Note what an event says of where the run is."""
        progress = self._progress
        if event.kind == "run_started" and "." not in event.run:
            started = event.read(formats.RunStarted)
            progress.title = one_line(words.title(started.issue), 200)
            progress.steps = started.settings.get("max_steps") or 0
            progress.several = (started.settings.get("attempts") or 1) > 1
        number = event.attempt if "." in event.run else 0
        work = progress.work.setdefault(number, _Work())
        work.step = max(work.step, event.step)
        if event.kind == "delta":
            data = event.data
            prefill = data["kind"] == "prefill" and 0 <= data["done"] < data["total"]
            work.read = (data["done"], data["total"]) if prefill else None
            work.phase = "reading the prompt" if prefill else _DOING.get(data["kind"], work.phase)
            return
        work.read = None
        if event.kind in ("response", "discarded", "answer"):
            _add(work, event.read(formats.Answered).usage)
        if event.kind == "run_finished":
            work.over = True
        work.phase = _phase(event) or work.phase

    def _view(self) -> RenderableType:
        from rich.console import Group
        from rich.rule import Rule
        from rich.text import Text

        width = self._console.width
        title = Text(self._progress.title, "bold", no_wrap=True, overflow="ellipsis")
        title.truncate(max(width - 8, 10), overflow="ellipsis")
        head = Rule(title, align="left", style="dim") if self._progress.title else Text()
        below = Text(_fitting(self._progress.facts(), width - 2), "dim", no_wrap=True)
        note = [Text("  stopping when this step is done", "yellow")] if self.stopping else []
        return Group(Text(), head, *self._attempts(width), Text("  ").append_text(below), *note)

    def _attempts(self, width: int) -> list[Any]:
        """Return what each attempt does now, a line each."""
        from rich.table import Table
        from rich.text import Text

        lines: list[Any] = []
        work = sorted(self._progress.work.items())
        at_work = [each for each in work if each[0] and not each[1].over]
        # The whole run stands for itself before its attempts, and when they have ended.
        work = at_work or [each for each in work if not each[0]]
        for number, each in work[: max(self._console.height - 7, 1)]:
            said = f"[{number}] step {max(each.step, 1)}: " if number else ""
            text = Text(said + each.phase, no_wrap=True, overflow="ellipsis")
            if each.read:
                text.append(_bar(*each.read, max(min(width - len(text) - 12, 24), 0)), "cyan")
            line = Table.grid(padding=(0, 1))
            line.add_row(self._spinner, text)
            lines.append(line)
        return lines


def _add(work: _Work, usage: dict[str, Any]) -> None:
    work.prompt += int(usage.get("prompt_tokens") or 0)
    work.cached += int(usage.get("cached_tokens") or 0)
    work.generated += int(usage.get("completion_tokens") or 0)
    work.speed = usage.get("decode_tokens_per_second") or work.speed


def _phase(event: Event) -> str:
    """Say what a run does after this event; empty when it says nothing of that."""
    if event.kind == "tool_intent":
        intent = event.read(formats.ToolIntent)
        return one_line(words.call(intent.name, intent.arguments), 100)
    if event.kind == "progress":
        told = event.read(formats.Progress)
        return one_line(f"{told.phase}: {told.text}", 200)
    return {
        "request": "waiting for the first word",
        "verification": "proof done",
        "handover": "handing over",
        "compaction": "making room in the context",
        "run_finished": "done",
    }.get(event.kind, "")


def _bar(done: int, total: int, width: int) -> str:
    full = width * done // total
    return f" {'━' * full}{'╌' * (width - full)} {100 * done // total} %"


def _fitting(parts: list[str], width: int) -> str:
    """Join as many parts as the width holds, the first ones first."""
    while len(parts) > 1 and len(" · ".join(parts)) > width:
        parts = parts[:-1]
    return " · ".join(parts)


def screen_for(console: Console, level: Level = "normal") -> Screen:
    """Return what shows a run here: a live view on a terminal, lines everywhere else."""
    # Not `is_terminal`, which FORCE_COLOR sets for files too.
    if console.file.isatty() and console.is_terminal and not console.is_dumb_terminal:
        return LiveScreen(console, level)
    return Screen(console, level)


def show_run(directory: Path, shown_as: str, *, tokens: bool, as_json: bool) -> None:
    """Show a stored run the way it looked when it ran. Raises RunError for a log without a run."""
    from rich.console import Console

    from reapair.agent.log.event_log import RunError, read_events
    from reapair.agent.result import Result

    screen = Screen(Console())
    result = None
    events = read_events(directory)
    if not events:
        raise RunError(f"Run {directory.name} was stopped before it began: nothing to show.")
    for event in events:
        if as_json:
            print_json(event)
        elif not tokens:
            screen.show(event)
        elif event.kind in ("response", "discarded", "answer", "compaction"):
            screen.tokens(event)
        if event.kind == "run_finished":
            result = Result.model_validate(event.read(formats.RunFinished).result)
    if result and not (as_json or tokens):
        screen.result(result, shown_as, lines=None)
