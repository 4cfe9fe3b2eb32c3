"""The words for a run that terminal, pipe and page share."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from reapair.agent.result import Candidate, Result, Totals

VERDICTS = {
    "proved": ("bold green", "a test failed before and passes now; nothing else broke"),
    "shown": ("bold yellow", "a test that came with the change fails without it; nothing broke"),
    "regression_free": ("bold yellow", "nothing broke; no test shows the fix"),
    "unproved": ("bold yellow", "the tests say nothing about it"),
    "refuted": ("bold red", "it breaks something"),
    "empty": ("bold red", "no change was made"),
}
"""Style and meaning of each verdict."""

_COUNTS = re.compile(r"^\S.*: \d+ (?:passed|failed|errors?|skipped)\b.*$", re.M)
_EXIT = re.compile(r"\[exit code (\d+)\]\s*$")


def title(issue: str) -> str:
    """Return the first line of an issue without the marks of a heading."""
    return issue.strip().partition("\n")[0].lstrip("# ").strip()


def call(name: str, arguments: dict[str, Any]) -> str:
    """Return a call in a few words: the tool and its first argument."""
    values = [str(value) for value in arguments.values()]
    about = json.dumps(values[0][:60], ensure_ascii=False)[1:-1] if values else ""
    return f"{name} {about}".strip()


def gist(name: str, content: str) -> str:
    """Return in a few words what a call gave."""
    first = content.strip().partition("\n")[0].rstrip(":")
    if name == "run_tests" and (counts := _COUNTS.search(content)):
        return counts[0]
    if name == "bash" and (code := _EXIT.search(content)):
        last = content[: code.start()].strip().rpartition("\n")[2]  # Where errors are named.
        return f"exit code {code[1]}" + (f": {last}" if last else "")
    return first


def commands(result: Result, here: Path | None) -> list[tuple[str, str]]:
    """Return the next commands for a change: look at it, apply it, undo it; or how to go on.

    Args:
        result: of the run.
        here: the folder in which the commands are run.
    """
    run = result.run_id
    if not result.files:
        stopped = result.exit_reason in (*ENDS, "cancelled", "model_error", "sandbox_error")
        return [("go on:", _going_on(result))] if stopped else []
    if result.applied:
        return [("look:", f"{_git(result, here)} diff"), ("undo:", f"agent undo {run}")]
    if result.branch:
        git, branch = _git(result, here), shlex.quote(result.branch)
        look, undo = f"{git} diff HEAD...{branch}", f"{git} branch -D {branch}"
        return [("look:", look), ("apply:", f"agent apply {run}"), ("undo:", undo)]
    look, undo = f"agent show {run}", f"agent undo {run}"
    return [("look:", look), ("apply:", f"agent apply {run}"), ("undo:", undo)]


def _git(result: Result, here: Path | None) -> str:
    """Return the start of a git command that works on the run's repository from a folder."""
    place = result.repository
    if place is None or (here is not None and here.resolve().is_relative_to(place)):
        return "git"
    return f"git -C {shlex.quote(str(place))}"


def _going_on(result: Result) -> str:
    if result.exit_reason not in ENDS:
        return f"agent resume {result.run_id}"
    option = ENDS[result.exit_reason][1]
    return " ".join(["agent continue", result.run_id, '"Go on."', *([option] if option else [])])


ENDS = {
    "step_limit": ("it reached its limit of steps", "--max-steps 150"),
    "token_limit": ("it reached its limit of tokens", "--max-tokens 4000000"),
    "time_limit": ("its time was up", "--max-minutes 120"),
    "context_limit": ("the conversation no longer fitted into the model's context", ""),
    "format_error": ("the model gave no usable tool calls", "--model NAME"),
    "no_submit": ("the model stopped without submitting", ""),
    "loop": ("the model made the same call again and again", ""),
}
"""Why a run ended that was not submitted, and the option that helps it to get further."""


def _steps(result: Result) -> str:
    return f"{result.steps} step{'' if result.steps == 1 else 's'}"


def why_ended(result: Result) -> str:
    """Return why a run ended where that was not a submission; "" where it was."""
    if result.exit_reason not in ENDS:
        return ""
    return f"ended after {_steps(result)}: {ENDS[result.exit_reason][0]}"


def counts(by_status: Mapping[str, int]) -> str:
    """Return how many tests have each status, in words; "" for none."""
    return ", ".join(f"{count} {name}" for name, count in by_status.items())


def reading_order(result: Result) -> str:
    """Return the patch, with its tests first where they alone show the fix."""
    from reapair.sandbox.git.patch import Patch
    from reapair.tools.files import is_test_file

    if not result.evidence.own_test_only:
        return result.patch
    files = Patch(result.patch.encode("utf-8", "surrogateescape")).files
    files.sort(key=lambda file: not all(map(is_test_file, file.paths)))
    return b"".join(file.part for file in files).decode("utf-8", "surrogateescape")


def candidate(each: Candidate) -> str:
    """Return what became of one of several attempts."""
    said = [f"attempt {each.attempt}: {each.verdict}", each.exit_reason]
    if each.cross_total:
        said.append(f"{each.cross_passed} of {each.cross_total} tests of the others")
    if each.agreeing > 1:
        said.append(f"{each.agreeing} agree")
    return ", ".join([*said, f"{each.changed_lines} changed lines"])


def evidence(result: Result, *, verbose: bool = True) -> list[str]:
    """Return in a few lines what the verdict rests on; the last says what the run cost."""
    seen, suite = result.evidence, result.evidence.suite
    lines = []
    for shown in seen.reproduction[:5]:
        lines.append(f"{shown.test}: {shown.before} before, {shown.after} after, {shown.origin}")
    if suite.command:
        lines.append(
            f"suite: {suite.passed} passed, {suite.failed} failed, {suite.error} errors, "
            f"{suite.skipped} skipped, {suite.missing} missing"
        )
    if seen.scope == "sampled":
        lines.append(f"only a part of the suite was run: {suite.command}")
    lines += [f"regression: {test}" for test in seen.regressions[:10]]
    lines += [f"flaky: {test}" for test in seen.flaky[:10]]
    lines += [f"violation: {violation}" for violation in seen.violations]
    lines += [f"not to be trusted: {trick}" for trick in seen.tricks[:10]]
    lines += [*seen.warnings[:10], *seen.notes[:10]]
    if seen.problem:
        lines.append(seen.problem)
    spent = cost(result.usage) if verbose else short_cost(result.usage)
    return [*lines, ", ".join(filter(None, (_steps(result), spent)))]


def short_cost(used: Totals) -> str:
    """Return what the model's work cost, as far as people ask: time, tokens, use of the cache."""
    seconds = used.prefill_seconds + used.decode_seconds
    tokens = short_count(used.prompt_tokens + used.completion_tokens)
    said = [f"{clock(seconds)} min of the model's time"] if seconds >= 1 else []
    said.append(f"{tokens} tokens")
    if used.prompt_tokens:
        share = 100 * used.cached_tokens // used.prompt_tokens
        said.append(f"{share} % of the prompt came from the cache")
    return ", ".join(said)


def cost(used: Totals) -> str:
    """Return what the model's work cost: tokens sent, reused, recomputed, generated; seconds."""
    said = f"{used.requests} requests, {used.prompt_tokens} prompt tokens"
    if used.prompt_tokens:
        said += f" ({100 * used.cached_tokens // used.prompt_tokens} % reused"
        said += f", {used.recomputed_tokens} recomputed)"
    said += f", {used.completion_tokens} generated"
    if used.generated_reused_tokens:
        said += f" ({used.generated_reused_tokens} of them reused)"
    seconds = used.prefill_seconds, used.decode_seconds
    return said + (", {:.1f} s prefill, {:.1f} s decode".format(*seconds) if any(seconds) else "")


def request(usage: dict[str, Any]) -> str:
    """Return what one request cost."""
    prompt, cached = int(usage["prompt_tokens"] or 0), int(usage["cached_tokens"] or 0)
    return (
        f"{prompt:>7} prompt, {cached:>7} reused, {prompt - cached:>6} "
        f"recomputed, {usage['completion_tokens'] or 0:>6} generated ("
        f"{usage['reasoning_tokens'] or 0} reasoning, "
        f"{usage.get('generated_reused_tokens') or 0} of the last answer reused), "
        f"prefill {_pace(usage, 'prefill')}, decode {_pace(usage, 'decode')}"
    )


def _pace(usage: dict[str, Any], phase: str) -> str:
    seconds, speed = usage.get(f"{phase}_seconds"), usage[f"{phase}_tokens_per_second"]
    took = "?" if seconds is None else f"{seconds:.2f} s"
    return f"{took} at {speed:.0f} tokens/s" if speed else took


def short_count(number: int) -> str:
    """Return a count of tokens in short: 812, 45.6k, 1.2M."""
    if number < 1_000:
        return str(number)
    return f"{number / 1_000:.1f}k" if number < 999_950 else f"{number / 1e6:.1f}M"


def clock(seconds: float) -> str:
    """Return a duration as 0:42 or 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
