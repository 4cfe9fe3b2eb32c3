"""A run as lines: for pipes and logs, and what stays above the live view of a terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from reapair.agent.log import formats
from reapair.agent.words import guided_words as guided
from reapair.agent.words import run_words as words
from reapair.agent.words.terminal_safe import clean, one_line

if TYPE_CHECKING:
    from rich.console import Console

    from reapair.agent.log.events import Event
    from reapair.agent.result import Result

Level = Literal["quiet", "normal", "verbose"]

DIFF_LINES = 400
"""Lines of a diff that end a run; more would push its verdict's reasons out of reach."""

_SHARED = frozenset({"run_started", "snapshot", "environment", "baseline"})
"""Kinds whose events repeat, for an attempt, what its run has shown already."""


def print_json(event: Event) -> None:
    """Show an event as one line of JSON on standard output."""
    sys.stdout.write(event.to_json() + "\n")
    sys.stdout.flush()


class Screen:
    """Shows a run as it happens, a line for each thing done, and its result at the end.

    Args:
        console: where to.
        level: `quiet` shows the verdict and what to do next, `verbose` also what the model thought,
            what the calls gave and what each request cost.

    A context manager: leaving it leaves the terminal as it was.
    """

    def __init__(self, console: Console, level: Level = "normal") -> None:
        self._console = console
        self._level = level
        self.stopping = False
        self._calls: dict[tuple[int, str], str] = {}
        self._before = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was."""

    @property
    def live(self) -> bool:
        """True while a view is kept up to date that other output would tear."""
        return False

    def show(self, event: Event) -> None:
        """Show one event, if it is of interest to people."""
        part_of_several = "." in event.run
        if self._level == "quiet" or (part_of_several and event.kind in _SHARED):
            return
        self._before = f"[{event.attempt}] " if part_of_several else ""
        handler = getattr(self, f"_on_{event.kind}", None)
        if handler is not None:
            handler(event)

    def _line(self, text: str, style: str = "", *, fit: bool = False) -> None:
        """Print one line. With `fit` a terminal shows as much of it as it has columns."""
        from rich.text import Text

        line = Text(self._before + clean(text.replace("\n", " ")), style)
        if fit and self._console.is_terminal:
            self._console.print(line, no_wrap=True, overflow="ellipsis", highlight=False)
        else:
            self._console.print(line, soft_wrap=True, highlight=False)

    def _prose(self, text: str, style: str = "") -> None:
        """Print an indented sentence; a terminal breaks it between words."""
        from rich.text import Text

        line = one_line(text, 2_000)
        if not self._console.is_terminal:
            self._line(f"  {line}", style)
            return
        for part in Text(line, style).wrap(self._console, max(self._console.width - 2, 20)):
            self._console.print(Text("  ").append_text(part), soft_wrap=True, highlight=False)

    def _on_run_started(self, event: Event) -> None:
        self._line(words.title(event.read(formats.RunStarted).issue), "bold", fit=True)
        self._run_line(event)

    def _run_line(self, event: Event) -> None:
        server = event.read(formats.RunStarted).server
        self._line(f"run {event.run} · {server['model']} on {server['kind']}", "dim", fit=True)

    def _on_progress(self, event: Event) -> None:
        told = event.read(formats.Progress)
        self._prose(f"{told.phase}: {told.text}", "dim")

    def _on_snapshot(self, event: Event) -> None:
        for path in event.read(formats.SnapshotTaken).left_out:
            self._prose(f"snapshot: left out {path}", "dim")

    def _on_environment(self, event: Event) -> None:
        ready = event.read(formats.EnvironmentReady)
        self._line(f"  sandbox: {ready.sandbox}", "dim")
        if ready.sandbox == "none":
            self._prose("Not isolated: commands run as you, on this machine.", "yellow")
        for note in ready.notes:
            self._prose(f"environment: {note}", "yellow")

    def _on_baseline(self, event: Event) -> None:
        counts = words.counts(event.read(formats.BaselineRun).counts)
        self._prose(f"baseline: {counts or 'no test ran'}", "dim")

    def _on_response(self, event: Event) -> None:
        if self._level != "verbose":
            return
        message = event.read(formats.Response).message
        for said in (message.get("reasoning_content"), message.get("content")):
            if said:
                self._prose(one_line(said, 300), "italic dim")
        self.tokens(event)

    def _on_discarded(self, event: Event) -> None:
        answer = event.read(formats.Discarded)
        said = f"{answer.outcome}: {answer.detail or 'answer not used'}"
        self._line(f"{event.step:>3}  ({said})", "yellow", fit=True)

    def _on_compaction(self, event: Event) -> None:
        self.tokens(event)

    def _on_instruction(self, event: Event) -> None:
        self._prose(f"you: {event.read(formats.Instruction).text}", "bold")

    def _on_tool_intent(self, event: Event) -> None:
        intent = event.read(formats.ToolIntent)
        self._calls[event.attempt, intent.call_id] = words.call(intent.name, intent.arguments)

    def _on_tool_result(self, event: Event) -> None:
        result = event.read(formats.ToolResult)
        call = one_line(self._calls.pop((event.attempt, result.call_id), result.name))
        mark = "" if result.ok else "✗ "
        gave = one_line(mark + words.gist(result.name, result.content), 80)
        if self._console.is_terminal:
            # The result must be visible in a narrow window, too.
            room = self._console.width - len(gave) - len(self._before) - 10
            call = one_line(call, max(room, self._console.width // 2 - 6))
        style = "" if result.ok else "yellow"
        self._line(f"{event.step:>3}  {call}  → {gave}", style, fit=True)
        if self._level == "verbose":
            for line in result.content.strip().split("\n")[1:6]:
                self._line(f"     {line}", "dim", fit=True)

    def _on_suspects(self, event: Event) -> None:
        self._prose(guided.suspects(event.data))

    def _on_reproduction(self, event: Event) -> None:
        self._prose(guided.tests(event.data))

    def _on_candidate(self, event: Event) -> None:
        self._prose(guided.candidate(event.data))

    def _on_chosen(self, event: Event) -> None:
        self._prose(event.read(formats.Chosen).why, "dim")

    def _on_answer(self, event: Event) -> None:
        if self._level == "verbose":
            self._prose(one_line(event.read(formats.QuestionAnswered).content, 300), "italic dim")
            self.tokens(event)

    def _on_verification(self, event: Event) -> None:
        seen = event.read(formats.Verification)
        if seen.choice:
            self._prose(f"choice: {seen.choice['why']}", "dim")
            return
        on = f" on {seen.on}" if seen.on else ""
        self._line(f"  proof{on}: {seen.evidence['verdict']}", "dim")

    def _on_run_finished(self, event: Event) -> None:
        if self._before:
            result = event.read(formats.RunFinished).result
            said = f"{result['evidence']['verdict']}, {result['exit_reason']}"
            self._line(f"{said}, {result['steps']} steps", "dim")

    def tokens(self, event: Event) -> None:
        """Show what one request cost, or what a compaction freed."""
        if event.kind == "compaction":
            made = event.read(formats.Compaction)
            said = f"compaction: {made.before} to {made.after} tokens"
        else:
            said = words.request(event.read(formats.Answered).usage)
        self._line(f"{event.step:>3}  {said}", "dim")

    def result(self, result: Result, directory: str, *, lines: int | None = DIFF_LINES) -> None:
        """Show how the run ended: diff, verdict, evidence, hand-over, where it is kept.

        Args:
            result: of the run.
            directory: of the run, as people write it.
            lines: how many lines of the diff at most; None: all.
        """
        self.close()
        self._before = ""
        loud = self._level != "quiet"
        if result.patch and loud:
            self._gap()
            self._diff(words.reading_order(result), lines)
        self._gap()
        style, meaning = words.VERDICTS[result.verdict]
        if result.error:
            self._line(f"{result.exit_reason}: {result.error}", "red")
        if ended := words.why_ended(result):
            self._line(ended, "yellow")
        self._line(f"{result.verdict}: {meaning}", style)
        choice = result.choice
        told = [words.candidate(each) for each in choice.candidates] if choice else []
        if loud:
            seen = words.evidence(result, verbose=self._level == "verbose")
            for line in [*seen, *told, *([choice.why] if choice else [])]:
                self._prose(line)
        self._handed_over(result, directory)

    def _handed_over(self, result: Result, directory: str) -> None:
        if result.branch:
            self._line(f"  branch {result.branch}")
        if result.pull_request:
            self._line(f"  pull request {result.pull_request}")
        if result.applied:
            self._line("  applied to the work tree")
        if result.patch_file:
            self._line(f"  patch written to {result.patch_file}")
        if result.note:
            self._prose(result.note, "yellow")
        page = ", with report.html" if (result.directory / "report.html").exists() else ""
        self._line(f"  run kept in {directory}{page}", "dim")
        self._gap()
        for purpose, command in words.commands(result, Path.cwd()):
            self._line(f"  {purpose:<6} {command}")

    def _gap(self) -> None:
        """Set apart what follows, for eyes only."""
        if self._console.is_terminal and self._level != "quiet":
            self._console.print()

    def _diff(self, patch: str, limit: int | None) -> None:
        lines = [line for line in patch.rstrip("\n").split("\n") if not line.startswith("index ")]
        for line in lines[:limit]:
            head = line.startswith(("+++", "---", "diff "))
            style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
            self._line(line, "bold" if head else style)
        if limit is not None and len(lines) > limit:
            self._line(f"… {len(lines) - limit} more lines of the diff", "yellow")
