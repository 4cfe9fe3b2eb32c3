"""Runs of the tests on both sides of a patch, and what may be concluded from two reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal, Protocol

from reapair.agent.result import Suite
from reapair.sandbox import Sandbox
from reapair.tools import Status, TestReport, TestRunner

FAILING: tuple[Status, ...] = ("failed", "error")
REPEATS = 2
"""How often tests are run again before they are called regressions, or a proof."""

MOST_FILES = 6
"""Most test files that are run by themselves; beyond, it is the whole suite."""


class Repeat(Protocol):
    """Runs selectors on one side in a fresh sandbox, some times."""

    def __call__(
        self, side: Literal["untouched", "patched"], selectors: Sequence[str], times: int, /
    ) -> list[TestReport]:
        """Return the reports in order."""


def complete(report: TestReport) -> bool:
    """Tell whether the tests ran to their end with at least one that passed."""
    return not report.timed_out and "passed" in report.statuses.values()


def run_each(
    runner: TestRunner, sandbox: Sandbox, chosen: Sequence[str], seconds: float
) -> TestReport:
    """Run selectors one after the other, and return one report of them all."""
    reports = [runner.run(sandbox, selector, seconds) for selector in chosen]
    if len(reports) == 1:
        return reports[0]
    statuses = {test: s for report in reports for test, s in report.statuses.items()}
    failures = {test: text for report in reports for test, text in report.failures.items()}
    return replace(
        reports[-1],
        statuses=dict(sorted(statuses.items())),
        failures=failures,
        exit_code=next((r.exit_code for r in reports if r.exit_code != 0), 0),
        timed_out=any(report.timed_out for report in reports),
        collected_ok=all(report.collected_ok for report in reports),
        inconsistent=next((r.inconsistent for r in reports if r.inconsistent), ""),
    )


def regressions(baseline: TestReport, after: TestReport, *, partial: bool = False) -> list[str]:
    """Return tests that passed and no longer do; a skip or a disappearance counts as well.

    Args:
        partial: only what `after` tells of is compared.
    """
    return sorted(
        test
        for test, status in baseline.statuses.items()
        if status == "passed"
        and (test in after.statuses or not partial)
        and after.statuses.get(test, "missing") != "passed"
    )


def lost(baseline: TestReport, after: TestReport) -> list[str]:
    """Return tests that the baseline had, in whatever state, and the other run does not name.

    A file that could not be collected stands in the baseline under its own name.
    """
    return sorted(
        test
        for test, status in baseline.statuses.items()
        if test not in after.statuses and not (status == "error" and "::" not in test)
    )


def settle(suspects: list[str], repeat: Repeat) -> tuple[list[str], list[str]]:
    """Part what broke from what is flaky, by running just those tests again on both sides.

    A test that fails each time with the patch and never without it is broken. One that passes by
    itself is flaky only if it passes once more among all the others: some fail only in company.

    Args:
        suspects: tests that passed without the patch and failed with it.
        repeat: runs selectors on a side, some times.

    Returns regressions and flaky tests.
    """
    files = selectors(suspects)
    firm = set(suspects)
    for report in repeat("patched", files, REPEATS):
        firm -= set(report.having("passed"))
    if firm:
        [before] = repeat("untouched", files, 1)
        firm -= set(before.having(*FAILING))
    if not firm and files != ["all"]:
        [again] = repeat("patched", ["all"], 1)
        firm = {test for test in suspects if again.statuses.get(test) != "passed"}
    return sorted(firm), sorted(set(suspects) - firm)


def selectors(tests: Iterable[str]) -> list[str]:
    """Return the files that hold the tests, or `all` where these are many or not known."""
    files = {test.partition("::")[0] for test in tests if "::" in test or "/" in test}
    known = all("::" in test or "/" in test for test in tests)
    return sorted(files) if known and len(files) <= MOST_FILES else ["all"]


def counts(baseline: TestReport | None, after: TestReport) -> Suite:
    """Return the numbers of the suite with the patch."""
    numbers = Counter(after.statuses.values())
    return Suite(
        command=after.command,
        passed=numbers["passed"],
        failed=numbers["failed"],
        error=numbers["error"],
        skipped=numbers["skipped"],
        missing=len(lost(baseline, after)) if baseline else 0,
    )
