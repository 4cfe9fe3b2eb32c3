"""What people see of a run: one line a step, the diff, the verdict with its evidence."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from reapair.agent.result import Result, Totals, Verdict
from reapair.agent.run import read_events
from reapair.sandbox.gitdiff import split
from reapair.sandbox.policy import changed_files
from reapair.tools.files import is_test_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.console import Console

    from reapair.agent.doctor import Check
    from reapair.agent.events import Event
    from reapair.agent.runs import Summary

_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)

VERDICT_STYLE = {
    Verdict.PROVED: ("bold green", "a test failed before and passes now; nothing else broke"),
    Verdict.REGRESSION_FREE: ("bold yellow", "nothing broke; no test shows the fix"),
    Verdict.UNPROVED: ("bold yellow", "the tests say nothing about it"),
    Verdict.REFUTED: ("bold red", "it breaks something"),
    Verdict.EMPTY: ("bold red", "no change was made"),
}


def clean(text: str) -> str:
    """Take control, escape and direction characters out of text that is not ours."""
    return _UNPRINTABLE.sub("�", text.replace("\t", "    "))


def print_json(event: Event) -> None:
    """Show an event as one line of JSON on standard output."""
    sys.stdout.write(event.to_json() + "\n")
    sys.stdout.flush()


_SHARED = frozenset({"run_started", "snapshot", "environment", "baseline", "delta"})
"""Kinds that say of an attempt what its run has said already, or too fast."""

CHECK_STYLE = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def show_checks(checks: Iterable[Check], *, as_json: bool) -> bool:
    """Show the doctor's checks as they are made; return whether none has failed."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    failed = False
    for check in checks:
        failed |= check.status == "failed"
        if as_json:
            sys.stdout.write(json.dumps(asdict(check)) + "\n")
            continue
        console.print(f"{check.status:>7}", style=CHECK_STYLE[check.status], end="  ")
        console.print(f"{check.name:<20} {clean(check.detail)}", markup=False)
        if check.mend and check.status != "ok":
            console.print(f"{'':>7}  {'':<20} → {clean(check.mend)}", markup=False)
    return not failed


def show_runs(runs: Iterable[Summary], *, as_json: bool) -> None:
    """Show the runs as a table, or as one JSON object each."""
    if as_json:
        for run in runs:
            facts = asdict(run) | {"directory": str(run.directory)}
            sys.stdout.write(json.dumps(facts) + "\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("run", "issue", "repository", "state", "verdict", "steps", "age", box=None)
    for run in runs:
        issue, place = clean(run.issue)[:50], clean(run.repository.rpartition("/")[2])
        row = (run.id, issue, place, run.state, run.verdict, str(run.steps), _age(run.age))
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def show_run(directory: Path, shown_as: str, *, tokens: bool, as_json: bool) -> None:
    """Show a stored run the way it looked when it ran."""
    from rich.console import Console

    screen = Screen(Console())
    result = None
    for event in read_events(directory):
        if as_json:
            print_json(event)
        elif not tokens:
            screen.show(event)
        elif event.kind in ("response", "discarded", "compaction"):
            screen.tokens(event)
        if event.kind == "run_finished":
            result = Result.model_validate(event.data["result"])
    if result and not (as_json or tokens):
        screen.result(result, shown_as)


class Screen:
    """Shows a run on a terminal, or as plain lines where there is none."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._calls: dict[str, str] = {}
        self._passing = False
        self._before = ""

    def show(self, event: Event) -> None:
        """Show one event, if it says something to people."""
        part_of_several = "." in event.run
        if part_of_several and event.kind in _SHARED:
            return
        self._before = f"[{event.attempt}] " if part_of_several else ""
        handler = getattr(self, f"_on_{event.kind}", None)
        if handler is not None:
            handler(event)

    def _line(self, text: str, style: str = "") -> None:
        if self._passing:
            self._console.file.write("\r\x1b[K")
            self._passing = False
        text = self._before + clean(text)
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def _on_run_started(self, event: Event) -> None:
        server = event.data["server"]
        self._line(f"run {event.run} · {server['model']} on {server['kind']}", "bold")

    def _on_progress(self, event: Event) -> None:
        self._line(f"  {event.data['phase']}: {event.data['text']}", "dim")

    def _on_delta(self, event: Event) -> None:
        """Show on a terminal how far the server has read the prompt: that can take minutes."""
        done, total = event.data["done"], event.data["total"]
        if event.data["kind"] == "prefill" and done < total and self._console.is_terminal:
            self._console.file.write(f"\r\x1b[K  reading the prompt: {100 * done // total} %")
            self._console.file.flush()
            self._passing = True

    def _on_snapshot(self, event: Event) -> None:
        for path in event.data["left_out"]:
            self._line(f"  snapshot: left out {path}", "dim")

    def _on_environment(self, event: Event) -> None:
        kind = event.data["sandbox"]
        self._line(f"  sandbox: {kind}", "dim")
        if kind == "none":
            self._line("  Not isolated: commands run as you, on this machine.", "yellow")
        for note in event.data.get("notes", ()):
            self._line(f"  environment: {note}", "yellow")

    def _on_baseline(self, event: Event) -> None:
        counts = ", ".join(f"{count} {name}" for name, count in event.data["counts"].items())
        self._line(f"  baseline: {counts or 'no test ran'}", "dim")

    def _on_discarded(self, event: Event) -> None:
        detail = event.data["detail"] or "answer not used"
        self._line(f"{event.step:>3}  ({event.data['outcome']}: {detail})", "yellow")

    def _on_tool_intent(self, event: Event) -> None:
        self._calls[event.data["call_id"]] = _call(event.data["name"], event.data["arguments"])

    def _on_tool_result(self, event: Event) -> None:
        call = self._calls.pop(event.data["call_id"], "call")
        first = event.data["content"].strip().partition("\n")[0]
        mark = "" if event.data["ok"] else "✗ "
        self._line(f"{event.step:>3}  {call}  → {mark}{first[:80]}")

    def _on_verification(self, event: Event) -> None:
        if event.data.get("choice"):
            self._line(f"  choice: {event.data['choice']['why']}", "dim")
            return
        on = f" on {event.data['on']}" if "on" in event.data else ""
        self._line(f"  proof{on}: {event.data['evidence']['verdict']}", "dim")

    def _on_run_finished(self, event: Event) -> None:
        if self._before:
            result = event.data["result"]
            self._line(f"  {result['exit_reason']}, {result['evidence']['verdict']}", "dim")

    def tokens(self, event: Event) -> None:
        """Show what one request cost, or what a compaction freed."""
        data = event.data
        if event.kind == "compaction":
            self._line(f"{event.step:>3}  compaction: {data['before']} to {data['after']} tokens")
            return
        usage = data["usage"]
        prompt, cached = usage["prompt_tokens"] or 0, usage["cached_tokens"] or 0
        self._line(
            f"{event.step:>3}  {prompt:>7} prompt, {cached:>7} reused, {prompt - cached:>6} "
            f"recomputed, {usage['completion_tokens'] or 0:>6} generated ("
            f"{usage['reasoning_tokens'] or 0} reasoning, "
            f"{usage.get('generated_reused_tokens') or 0} of the last answer reused), "
            f"prefill {_pace(usage, 'prefill')}, decode {_pace(usage, 'decode')}"
        )

    def result(self, result: Result, directory: str) -> None:
        """Show how the run ended: diff, verdict, evidence, hand-over, where it is kept."""
        self._before = ""
        if result.patch:
            self._diff(_own_tests_first(result))
        style, meaning = VERDICT_STYLE[result.verdict]
        if result.error:
            self._line(f"{result.exit_reason}: {result.error}", "red")
        self._line(f"{result.verdict}: {meaning}", style)
        for line in [*_evidence(result), *_choice(result)]:
            self._line(f"  {line}")
        if result.branch:
            self._line(f"  branch {result.branch}")
        if result.applied:
            self._line("  applied to the work tree")
        if result.patch_file:
            self._line(f"  patch written to {result.patch_file}")
        if result.note:
            self._line(f"  {result.note}", "yellow")
        self._line(f"  run kept in {directory}", "dim")
        for purpose, command in _commands(result):
            self._line(f"  {purpose:<6} {command}")

    def _diff(self, patch: str) -> None:
        for line in patch.splitlines():
            style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
            self._line(line, style)


def _commands(result: Result) -> list[tuple[str, str]]:
    """Return what people do next with a change: look at it, take it, or take it back."""
    if not result.files:
        return []
    run = result.run_id
    if result.applied:
        return [("look:", "git diff"), ("undo:", f"agent undo {run}")]
    if result.branch:
        look, undo = f"git diff HEAD...{result.branch}", f"git branch -D {result.branch}"
        return [("look:", look), ("apply:", f"agent apply {run}"), ("undo:", undo)]
    look, undo = f"agent show {run}", f"agent undo {run}"
    return [("look:", look), ("apply:", f"agent apply {run}"), ("undo:", undo)]


def _own_tests_first(result: Result) -> str:
    """Return the patch; where only its own tests show the fix, these are to be read first."""
    if not result.evidence.own_test_only:
        return result.patch
    parts = split(result.patch.encode("utf-8", "surrogateescape"))
    parts.sort(key=lambda part: not all(map(is_test_file, changed_files(part))))
    return b"".join(parts).decode("utf-8", "surrogateescape")


def _choice(result: Result) -> list[str]:
    """Say what became of each attempt, and why the one was taken."""
    if result.choice is None:
        return []
    lines = []
    for each in result.choice.candidates:
        said = [f"attempt {each.attempt}: {each.verdict}", each.exit_reason]
        if each.cross_total:
            said.append(f"{each.cross_passed} of {each.cross_total} tests of the others")
        if each.agreeing > 1:
            said.append(f"{each.agreeing} agree")
        said.append(f"{each.changed_lines} changed lines")
        lines.append(", ".join(said))
    return [*lines, result.choice.why]


def _pace(usage: dict[str, Any], phase: str) -> str:
    seconds, speed = usage.get(f"{phase}_seconds"), usage[f"{phase}_tokens_per_second"]
    took = "?" if seconds is None else f"{seconds:.2f} s"
    return f"{took} at {speed:.0f} tokens/s" if speed else took


def _call(name: str, arguments: dict[str, Any]) -> str:
    """Name a call in a few words: the tool and what it is about."""
    values = [str(value) for value in arguments.values()]
    about = json.dumps(values[0][:60], ensure_ascii=False)[1:-1] if values else ""
    return f"{name} {about}".strip()


def _evidence(result: Result) -> list[str]:
    """Say in a few lines what the verdict rests on."""
    evidence, suite = result.evidence, result.evidence.suite
    lines = []
    for shown in evidence.reproduction[:5]:
        whose = ", came with the patch" if shown.author == "model" else ""
        lines.append(f"{shown.test}: {shown.before} before, {shown.after} after{whose}")
    if suite.command:
        lines.append(
            f"suite: {suite.passed} passed, {suite.failed} failed, {suite.error} errors, "
            f"{suite.skipped} skipped, {suite.missing} missing"
        )
    if evidence.scope == "sampled":
        lines.append(f"only a part of the suite was run: {suite.command}")
    lines += [f"regression: {test}" for test in evidence.regressions[:10]]
    lines += [f"flaky: {test}" for test in evidence.flaky[:10]]
    lines += [f"violation: {violation}" for violation in evidence.violations]
    lines += [f"not to be trusted: {trick}" for trick in evidence.tricks[:10]]
    lines += [*evidence.warnings[:10], *evidence.notes[:10]]
    if evidence.problem:
        lines.append(evidence.problem)
    return [*lines, f"{result.steps} steps, {_cost(result.usage)}"]


def _cost(used: Totals) -> str:
    """Say what the model's work took: tokens sent, reused, recomputed, generated, and seconds."""
    said = f"{used.requests} requests, {used.prompt_tokens} prompt tokens"
    if used.prompt_tokens:
        said += f" ({100 * used.cached_tokens // used.prompt_tokens} % reused"
        said += f", {used.recomputed_tokens} recomputed)"
    said += f", {used.completion_tokens} generated"
    if used.generated_reused_tokens:
        said += f" ({used.generated_reused_tokens} of them reused)"
    seconds = used.prefill_seconds, used.decode_seconds
    return said + (", {:.1f} s prefill, {:.1f} s decode".format(*seconds) if any(seconds) else "")
