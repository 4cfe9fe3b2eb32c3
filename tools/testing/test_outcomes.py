"""What test runners say, as statuses by test: our pytest recorder's lines, unittest's output."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ValidationError

from reapair.sandbox.base import ExecResult
from reapair.tools.observation import clip, count, stable

Status = Literal["passed", "failed", "error", "skipped", "missing"]

FAILURE_LIMIT = 2_000
"""Bytes kept of what one failure says."""

CAPTURED_LIMIT = 600
"""Bytes kept of each stream that a failed test printed to."""


@dataclass(slots=True)
class SuiteOutcome:
    """Statuses and failures by test id. `running` is the test that had begun and did not end.

    `told` is how many tests passed and failed in the runner's own words, where it says so;
    `inconsistent` what the reading itself found to contradict; `log` what to show in place of an
    output that is only for machines.
    """

    statuses: dict[str, Status] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    collected_ok: bool = True
    running: str | None = None
    told: dict[str, int] | None = None
    inconsistent: str = ""
    log: str | None = None


class _Entry(BaseModel):
    """A line of the recorder. Tests can write there too, so nothing about it is believed."""

    kind: Literal["collect", "start", "report", "end"]
    id: str = ""
    when: str = ""
    outcome: str = ""
    text: str = ""
    output: list[tuple[str, str]] = []


def recorded(text: str, result: ExecResult) -> SuiteOutcome | None:
    """Read the recorder's lines; None where there are none. The last may be cut off."""
    entries = list(_entries(text))
    if not entries:
        return None
    outcome, begun = SuiteOutcome(), dict[str, None]()
    for entry in entries:
        if entry.kind == "collect":
            outcome.collected_ok = False
            outcome.statuses[entry.id] = "error"
            outcome.failures[entry.id] = _condensed(entry)
        elif entry.kind == "start":
            begun[entry.id] = None
        elif entry.kind == "report":
            _take(outcome, entry)
            if entry.when == "teardown":
                begun.pop(entry.id, None)
        else:
            begun.clear()
    for test in begun:
        outcome.running = outcome.running or test
        outcome.statuses[test] = "failed"
        outcome.failures[test] = cut_off(result)
    return outcome


def _entries(text: str) -> Iterable[_Entry]:
    for line in text.splitlines():
        with suppress(ValidationError):
            yield _Entry.model_validate_json(line)


def _take(outcome: SuiteOutcome, entry: _Entry) -> None:
    """Take one phase of a test: a failure stays, and outside of the call it is an error."""
    status: Status | None = None
    if entry.outcome == "failed":
        status = "failed" if entry.when == "call" else "error"
        outcome.failures.setdefault(entry.id, _condensed(entry))
    elif entry.outcome == "skipped":
        status = "skipped"
    elif entry.outcome == "passed" and entry.when == "call":
        status = "passed"
    if status and outcome.statuses.get(entry.id) not in ("failed", "error"):
        outcome.statuses[entry.id] = status


_COVERAGE = re.compile(
    r"coverage (?:threshold|of \d|for \w+ \()|required test coverage", re.IGNORECASE
)
_CODE_OF_ITS_OWN = re.compile(r"[|;&]|\bmake\b")


def disagreement(outcome: SuiteOutcome, result: ExecResult, command: str, output: str) -> str:
    """Return where exit code, report and log contradict each other; "" where they do not.

    A test can write into a report, and a repository's settings can turn an exit code. A command of
    several parts may well end with 0 although its tests failed, and too little coverage with
    another number although none did.
    """
    if outcome.inconsistent or not outcome.statuses or result.timed_out:
        return outcome.inconsistent
    bad = sum(status in ("failed", "error") for status in outcome.statuses.values())
    good = sum(status == "passed" for status in outcome.statuses.values())
    if result.exit_code == 0 and bad and not _CODE_OF_ITS_OWN.search(command):
        return f"exit code 0, although {count(bad, 'test')} did not pass"
    if result.exit_code and not bad and not _COVERAGE.search(output):
        return f"exit code {result.exit_code}, although no test failed"
    told = outcome.told
    if told and told["failed"] and not bad:
        return f"the log tells of {told['failed']} failures, the report of none"
    if told and good > told["passed"]:
        return f"the report tells of {good} tests that passed, the log of {told['passed']}"
    return ""


def cut_off(result: ExecResult) -> str:
    """Return why a test that had begun did not end."""
    if result.timed_out:
        return "It was still running when the time was up."
    if result.oom:
        return "The test process was killed during this test: it used too much memory."
    return f"The test process ended during this test (exit code {result.exit_code})."


_FRAME = re.compile(r"^(\S.*?):(\d+): ")
_OUTSIDE = ("/", "..", "<")


def _condensed(entry: _Entry) -> str:
    """Keep the frames inside the repository, the assertion, and the end of captured output."""
    kept: list[str] = []
    inside = True
    for line in entry.text.split("\n"):
        frame = _FRAME.match(line)
        if frame:
            inside = not frame.group(1).startswith(_OUTSIDE)
        if line.startswith("E ") or (inside and line.strip()):
            kept.append(line.rstrip())
    parts = [clip("\n".join(kept), FAILURE_LIMIT)]
    for title, captured in entry.output:
        if captured.strip():
            parts.append(f"{title}:\n{clip(captured.strip(), CAPTURED_LIMIT)}")
    return stable("\n".join(parts))


_RESULT = re.compile(
    r"^(\w+) \(([\w.<>]+)\)[^\n]*(?:\n(?!\w+ \([\w.<>]+\)).*)?? \.\.\. "
    r"(?:.*\n)??(ok|FAIL|ERROR|skipped|expected failure|unexpected success)\b",
    re.MULTILINE,
)
_BLOCK = re.compile(
    r"^={70}\n(FAIL|ERROR): (\w+) \(([\w.<>]+)\).*\n(?:.*\n)??-{70}\n", re.MULTILINE
)
_WORDS: dict[str, Status] = {
    "ok": "passed",
    "FAIL": "failed",
    "ERROR": "error",
    "skipped": "skipped",
    "expected failure": "skipped",
    "unexpected success": "failed",
}


def unittest_outcome(output: str) -> SuiteOutcome | None:
    """Read the verbose output of unittest; ids are dotted names. None where there is none."""
    outcome = SuiteOutcome()
    for name, place, word in _RESULT.findall(output):
        outcome.statuses[_dotted(name, place)] = _WORDS[word]
    blocks = list(_BLOCK.finditer(output))
    for block, following in zip(blocks, [*blocks[1:], None], strict=False):
        test = _dotted(block.group(2), block.group(3))
        end = following.start() if following else len(output)
        text = re.split(r"\n-{70}\nRan ", output[block.end() : end])[0]
        outcome.statuses[test] = _WORDS[block.group(1)]
        outcome.failures[test] = stable(clip(text.strip(), FAILURE_LIMIT, tail=0.8))
        if "_FailedTest" in block.group(3):
            outcome.collected_ok = False
    return outcome if outcome.statuses else None


def _dotted(name: str, place: str) -> str:
    return place if place.endswith(f".{name}") else f"{place}.{name}"


_VERBOSE = re.compile(
    r"^(\S+\.py::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b.*$", re.MULTILINE
)
_SUMMARY = re.compile(r"^(FAILED|ERROR) (\S+\.py(?:::.+?)?)(?: - (.*))?$", re.MULTILINE)
_CAPITALS: dict[str, Status] = {
    "PASSED": "passed",
    "FAILED": "failed",
    "ERROR": "error",
    "SKIPPED": "skipped",
    "XFAIL": "skipped",
    "XPASS": "passed",
}


def verbose_outcome(output: str) -> SuiteOutcome | None:
    """Read the verbose output of pytest, where its environment keeps our recorder out."""
    outcome = SuiteOutcome()
    for test, word in _VERBOSE.findall(output):
        outcome.statuses[test] = _CAPITALS[word]
    for word, test, reason in _SUMMARY.findall(output):
        outcome.statuses[test] = _CAPITALS[word]
        outcome.failures[test] = stable(reason)
        outcome.collected_ok = outcome.collected_ok and "::" in test
    return outcome if outcome.statuses else None
