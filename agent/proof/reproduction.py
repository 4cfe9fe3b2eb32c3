"""Tests that show a fix: they fail without the product part of a patch, and pass with it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from reapair.agent.proof.sides import Sides
from reapair.agent.proof.suites import FAILING, MOST_FILES
from reapair.agent.result import Reproduction
from reapair.tools import TestReport, is_test_file

_BY_NAME = re.compile(
    r"ImportError: cannot import name '(\w+)'|No module named '([\w.]+)'"
    r"|NameError: name '(\w+)' is not defined|AttributeError: .*has no attribute '(\w+)'"
    r"|ReferenceError: (\w+) is not defined|TypeError: .*?(\w+) is not a (?:function|constructor)"
    r"|Cannot find module '(?:.*/)?([\w.]+)'"
)


@dataclass(slots=True)
class Shown:
    """What tests show of a fix.

    Attributes:
        tests: those that hold.
        flaky: those that held once and not again.
        notes: why others were not taken, a sentence each.
        failing: new tests that fail with the whole patch.
        reached: whether the new tests ran a changed line; None: not measured.
    """

    tests: list[Reproduction] = field(default_factory=list)
    flaky: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failing: list[str] = field(default_factory=list)
    reached: bool | None = None


def by_existing(sides: Sides, baseline: TestReport, after: TestReport) -> Shown:
    """Return the tests that were there, failed before and pass now, each time they are run."""
    mended = {
        test: before
        for test, before in baseline.statuses.items()
        if before in FAILING and after.statuses.get(test) == "passed"
    }
    if not mended:
        return Shown()
    files = _files(mended)
    chosen = [test for test in mended if files == ["all"] or test.partition("::")[0] in files]
    before, again = sides.run("untouched", files), sides.run("patched", files)
    held = [t for t in chosen if before.statuses.get(t) in FAILING and _passed(again, t)]
    shown = Shown(flaky=[test for test in chosen if test not in held])
    for test in held:
        shown.tests.append(
            Reproduction(test=test, author="existing", before=mended[test], after="passed")
        )
    return shown


def by_own(sides: Sides, baseline: TestReport) -> Shown:
    """Return the tests that came with the patch and show the fix; notes say why others do not."""
    files = sorted(c.new for c in sides.changes if c.support and c.new and _may_hold_tests(c.new))[
        :MOST_FILES
    ]
    if not files:
        return Shown()
    (after, again), reached = sides.watch("whole", files, again=True)
    fresh = [test for test in after.statuses if test not in baseline.statuses]
    shown = Shown(reached=reached, failing=[t for t in fresh if after.statuses[t] in FAILING])
    fresh = [test for test in fresh if _passed(after, test)]
    if not fresh or not sides.product:
        return shown
    before, once_more = sides.repeat("tests", files, 2)
    words = {word for c in sides.product_code for word in re.findall(r"\w+", c.added_text)}
    for test in fresh:
        if reason := _no_proof(test, before, words):
            shown.notes.append(f"{test} {reason}.")
        elif reached is False:
            shown.notes.append(f"{test} runs none of the changed lines.")
        elif once_more.statuses.get(test) == "failed" and _passed(again, test):
            shown.tests.append(
                Reproduction(test=test, author="model", before="failed", after="passed")
            )
        else:
            shown.flaky.append(test)
    shown.notes = shown.notes[:5]
    return shown


def _may_hold_tests(path: str) -> bool:
    """Tell whether a file is source that a runner may find tests in."""
    name = path.rpartition("/")[2]
    if name.endswith(".py"):
        return is_test_file(name) and name != "conftest.py"
    return (
        is_test_file(path)
        and re.search(r"\.([cm]?[jt]sx?|go|rs|java|kt|rb|php)$", name) is not None
    )


def _no_proof(test: str, before: TestReport, words: set[str]) -> str:
    """Say why a new test shows nothing, by what it does without the rest of the patch."""
    status = before.statuses.get(test, "missing")
    if status == "passed":
        return "passes without the change as well"
    if status == "skipped":
        return "is skipped without the change"
    file = test.partition("::")[0]
    said = before.failures.get(test) or before.failures.get(file) or ""
    if name := _missing_name(said, words):
        return f"fails without the change only because {name} is not there yet"
    return "" if status == "failed" else "cannot be run at all without the change"


def _missing_name(said: str, words: set[str]) -> str:
    """Return the name, added by the patch, whose absence is all that a failure tells of."""
    lines = [line for line in said.splitlines() if line.startswith("E ")] or said.splitlines()
    for line in reversed(lines):
        for found in _BY_NAME.finditer(line):
            name = next(group for group in found.groups() if group)
            if name in words or name.rpartition(".")[2] in words or "." in name:
                return name
    return ""


def named(wanted: Iterable[str], baseline: TestReport, after: TestReport) -> list[str]:
    """Return why tests that the user named do not show the fix; [] when all of them do."""
    problems = []
    for test in wanted:
        meant = [known for known in baseline.statuses if _means(test, known)]
        before = {baseline.statuses[known] for known in meant}
        now = {after.statuses.get(known, "missing") for known in meant}
        if not meant:
            problems.append(f"The named test {test} was not found.")
        elif not before & set(FAILING):
            problems.append(f"The named test {test} does not fail on the untouched code.")
        elif now != {"passed"}:
            problems.append(f"The named test {test} does not pass with the change.")
    return problems


def _means(wanted: str, test: str) -> bool:
    """Tell whether a name stands for a test: its id, or a file, class or function around it."""
    return test == wanted or test.startswith((f"{wanted}::", f"{wanted}[", f"{wanted}."))


def _files(tests: Iterable[str]) -> list[str]:
    """Return the first of the files that hold the tests, or `all` where no id names one."""
    files = sorted({test.partition("::")[0] for test in tests if "::" in test})
    return files[:MOST_FILES] or ["all"]


def _passed(report: TestReport, test: str) -> bool:
    return report.statuses.get(test) == "passed"
