"""The proof: what a patch does to the tests, seen in fresh sandboxes, never by hearsay."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from reapair.agent.result import Evidence, Reproduction, Suite, Verdict
from reapair.sandbox.gitdiff import split
from reapair.sandbox.policy import changed_files, check
from reapair.tools.files import is_test_file

if TYPE_CHECKING:
    from reapair.agent.workspace import Workspace
    from reapair.sandbox.snapshot import Snapshot
    from reapair.tools import TestReport

FAILING = frozenset({"failed", "error"})


def verify(
    workspace: Workspace,
    patch: bytes,
    *,
    snapshot: Snapshot | None = None,
    baseline: TestReport | None = None,
) -> Evidence:
    """Judge a patch.

    Args:
        workspace: gives fresh sandboxes and the suite's runner.
        patch: as it came out of the sandbox.
        snapshot: what to prove it on; default: the run's own.
        baseline: the suite's report on that snapshot, without the patch.

    Raises SandboxError when the sandbox fails, not the patch.
    """
    if not patch.strip():
        return Evidence(verdict=Verdict.EMPTY)
    violations = [f"{found.rule}: {found.message}" for found in check(patch)]
    if violations:
        return Evidence(verdict=Verdict.REFUTED, violations=violations)
    try:
        after = workspace.run_suite(patch, snapshot)
    except ValueError as problem:
        return Evidence(verdict=Verdict.REFUTED, problem=f"The patch does not apply: {problem}")
    if baseline is None or not _complete(baseline) or not _complete(after):
        return _unproved(baseline, after)
    return _compare(workspace, patch, snapshot, baseline, after)


def _complete(report: TestReport) -> bool:
    """Tell whether the suite ran to its end with at least one test that passed."""
    return not report.timed_out and "passed" in report.statuses.values()


def _unproved(baseline: TestReport | None, after: TestReport) -> Evidence:
    """Say why the suite tells nothing; a patch that breaks the whole suite is refuted."""
    suite = _suite(baseline, after)
    if baseline is None:
        problem = "The test suite could not be run on the untouched code."
    elif not _complete(baseline):
        problem = "No test passes on the untouched code." if baseline.statuses else "No test ran."
        problem += " Set --setup-command or --test-command if there are tests."
    else:
        regressions = _regressions(baseline, after)
        problem = "With the patch the suite does not run to its end."
        return Evidence(
            verdict=Verdict.REFUTED, regressions=regressions, suite=suite, problem=problem
        )
    return Evidence(verdict=Verdict.UNPROVED, suite=suite, problem=problem)


def _compare(
    workspace: Workspace,
    patch: bytes,
    snapshot: Snapshot | None,
    baseline: TestReport,
    after: TestReport,
) -> Evidence:
    regressions = _regressions(baseline, after)
    flaky: list[str] = []
    if regressions:
        again = workspace.run_suite(patch, snapshot)
        flaky = [test for test in regressions if again.statuses.get(test) == "passed"]
        regressions = [test for test in regressions if test not in flaky]
    reproduction = _existing(baseline, after)
    new = {
        test
        for test, status in after.statuses.items()
        if status == "passed" and test not in baseline.statuses
    }
    if new and not regressions:
        reproduction += _written(workspace, patch, snapshot, new)
    if regressions:
        verdict = Verdict.REFUTED
    else:
        verdict = Verdict.PROVED if reproduction else Verdict.REGRESSION_FREE
    return Evidence(
        verdict=verdict,
        scope="full",
        reproduction=reproduction,
        regressions=regressions,
        flaky=flaky,
        suite=_suite(baseline, after),
    )


def _regressions(baseline: TestReport, after: TestReport) -> list[str]:
    """Return tests that passed and no longer do; a skip or a disappearance counts as well."""
    return sorted(
        test
        for test, status in baseline.statuses.items()
        if status == "passed" and after.statuses.get(test, "missing") != "passed"
    )


def _existing(baseline: TestReport, after: TestReport) -> list[Reproduction]:
    return [
        Reproduction(test=test, author="existing", before=before, after="passed")
        for test, before in sorted(baseline.statuses.items())
        if before in FAILING and after.statuses.get(test) == "passed"
    ]


def _written(
    workspace: Workspace, patch: bytes, snapshot: Snapshot | None, new: set[str]
) -> list[Reproduction]:
    """Run the patch's new tests on the code without the rest of the patch.

    Only a test that runs and fails there shows the fix. One that cannot even be collected proves no
    more than that the patch adds a name.
    """
    tests_only = b"".join(part for part in split(patch) if _is_tests(part))
    if not tests_only:
        return []
    try:
        before = workspace.run_suite(tests_only, snapshot)
    except ValueError:
        return []
    return [
        Reproduction(test=test, author="model", before="failed", after="passed")
        for test in sorted(new)
        if before.statuses.get(test) == "failed"
    ]


def _suite(baseline: TestReport | None, after: TestReport) -> Suite:
    counts = Counter(after.statuses.values())
    known = baseline.statuses if baseline else {}
    return Suite(
        command=after.command,
        passed=counts["passed"],
        failed=counts["failed"],
        error=counts["error"],
        skipped=counts["skipped"],
        missing=sum(test not in after.statuses for test in known),
    )


def _is_tests(part: bytes) -> bool:
    return all(is_test_file(path) for path in changed_files(part))
