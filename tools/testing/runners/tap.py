"""The Test Anything Protocol, which many small runners print."""

from __future__ import annotations

import re

from reapair.tools.observation import clip, stable
from reapair.tools.testing.test_outcomes import FAILURE_LIMIT, Status, SuiteOutcome

_POINT = re.compile(
    r"^(?P<not>not )?ok\b(?: +(?P<number>\d+))?(?: +-)?[ \t]*(?P<name>.*?)"
    r"(?:[ \t]+#[ \t]*(?P<directive>skip|todo)\b.*)?$",
    re.IGNORECASE,
)
_PLAN = re.compile(r"^1\.\.(\d+)\b")
_VERSION = re.compile(r"^TAP version \d+$", re.MULTILINE)


def tap_outcome(output: str) -> SuiteOutcome | None:
    """Read the Test Anything Protocol, top level only; None where the output is not TAP.

    Equal names get a number, so that each has its own id. A plan that was not fulfilled makes the
    report inconsistent.
    """
    lines = output.splitlines()
    plans = [int(found[1]) for line in lines if (found := _PLAN.match(line))]
    if not plans and not _VERSION.search(output):
        return None
    outcome, points, last = SuiteOutcome(), 0, ""
    said: dict[str, list[str]] = {}
    for line in lines:
        found = _POINT.match(line)
        if found:
            points += 1
            last = _unique(found["name"].strip() or f"test {points}", outcome)
            outcome.statuses[last] = _status(found)
        elif line.startswith("Bail out!"):
            outcome.collected_ok = False
            outcome.inconsistent = "the run was given up: " + line[9:].strip()[:200]
        elif (
            last
            and line.startswith(("#", "  "))
            and not re.match(r"^# (?:tests|pass|fail)\b", line)
        ):
            said.setdefault(last, []).append(line)
    for test, status in outcome.statuses.items():
        if status == "failed":
            text = clip("\n".join(said.get(test, [])).rstrip(), FAILURE_LIMIT)
            outcome.failures[test] = stable(text)
    if plans and sum(plans) != points and not outcome.inconsistent:
        outcome.inconsistent = f"{sum(plans)} tests were planned, {points} ran"
    return outcome if outcome.statuses else None


def _status(point: re.Match[str]) -> Status:
    directive = (point["directive"] or "").lower()
    if directive == "skip" or (directive == "todo" and point["not"]):
        return "skipped"
    return "failed" if point["not"] else "passed"


def _unique(name: str, outcome: SuiteOutcome) -> str:
    number, unique = 1, name
    while unique in outcome.statuses:
        number += 1
        unique = f"{name} ({number})"
    return unique
