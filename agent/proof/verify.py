"""The proof: what a patch does to the tests, seen in fresh sandboxes, never by hearsay.

What counts is what the tests say that were there, with the files and settings that were there: the
patch's product runs under the originals. Its own tests run apart, without its product and with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reapair.agent.proof import reproduction
from reapair.agent.proof.changes import Change, first_tests_of
from reapair.agent.proof.sides import NotApplicableError, Sides
from reapair.agent.proof.suites import (
    MOST_FILES,
    complete,
    counts,
    lost,
    regressions,
    settle,
)
from reapair.agent.proof.tampering import changed_test_names, tampering
from reapair.agent.proof.tree_checks import acting_by_itself, breakages, leftovers
from reapair.agent.proof.tricks import product_tricks
from reapair.agent.result import Evidence, Verdict
from reapair.sandbox import SandboxError
from reapair.sandbox.git.patch import Patch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reapair.agent.workspace.workspace import Workspace
    from reapair.sandbox.git.snapshot import Snapshot
    from reapair.tools import TestReport

UNREACHED = "No test was seen to run the changed lines, so the tests say nothing about them."


def verify(
    workspace: Workspace,
    patch: bytes,
    *,
    snapshot: Snapshot | None = None,
    baseline: TestReport | None = None,
    issue: str = "",
    history: Iterable[bytes] = (),
) -> Evidence:
    """Judge a patch.

    Args:
        workspace: gives fresh sandboxes and the suite's runner.
        patch: as it came out of the sandbox.
        snapshot: what to prove it on; default: the run's own.
        baseline: the suite's report on that snapshot, without the patch.
        issue: its own example has to turn green.
        history: the change after each step, from which the tests are known that came first.

    Raises SandboxError when the sandbox fails, not the patch; no other exception.
    """
    if not patch.strip():
        return Evidence(verdict=Verdict.EMPTY)
    violations = [f"{found.rule}: {found.message}" for found in Patch(patch).violations()]
    if violations:
        return Evidence(verdict=Verdict.REFUTED, violations=violations)
    try:
        return _proved(workspace, patch, snapshot, baseline, issue, history)
    except SandboxError:
        raise
    except Exception as error:  # The patch is finished work: no fault of ours may lose it.
        said = f"The proof itself failed: {type(error).__name__}: {str(error)[:300]}"
        return Evidence(verdict=Verdict.UNPROVED, problem=said)


def _proved(
    workspace: Workspace,
    patch: bytes,
    snapshot: Snapshot | None,
    baseline: TestReport | None,
    issue: str,
    history: Iterable[bytes],
) -> Evidence:
    first = first_tests_of(history, patch)
    snapshot = snapshot or workspace.snapshot
    try:
        sides = Sides(workspace, patch, snapshot, workspace.suite_seconds, issue, first)
    except NotApplicableError as problem:
        return Evidence(verdict=Verdict.REFUTED, problem=f"The patch does not apply: {problem}")
    proof = _Proof(sides, baseline, workspace.named_tests, issue)
    try:
        proof.judge()
    except NotApplicableError as problem:
        proof.evidence.verdict = Verdict.UNPROVED
        said = f"Tests and product of the patch cannot be told apart: {problem}"
        proof.evidence.problem = said
    finally:
        sides.close()
    return proof.evidence


@dataclass(slots=True)
class _Proof:
    """One proof at work: each step adds to the evidence, and a refutation ends it."""

    sides: Sides
    baseline: TestReport | None
    named_tests: list[str]
    issue: str
    evidence: Evidence = field(default_factory=lambda: Evidence(verdict=Verdict.UNPROVED))
    reached: list[bool | None] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    excused: set[str] = field(default_factory=set)

    def judge(self) -> None:
        """Gather the evidence in the order of what it costs, and end with the verdict."""
        evidence, changes = self.evidence, self.sides.changes
        evidence.tricks = [said for change in changes for said in _tricks(change)]
        evidence.violations = breakages(changes)
        evidence.warnings = leftovers(changes) + acting_by_itself(changes, self.issue)
        if evidence.violations:
            evidence.verdict = Verdict.REFUTED
            return
        baseline = self._usable_baseline()
        if baseline is None or not self._affected_hold(baseline):
            return
        after = self._suite(baseline)
        if after is None:
            return
        self._show(baseline, after)
        self._reach()
        self._conclude()

    def _usable_baseline(self) -> TestReport | None:
        """Return what the tests said before the patch; a part where the whole takes too long."""
        baseline, evidence = self.baseline, self.evidence
        evidence.scope = "full"
        if baseline and baseline.timed_out and (files := self._sample(baseline)):
            baseline = self.sides.run("untouched", files)
            evidence.scope = "sampled"
            baseline = replace(baseline, command=f"{baseline.command} ({', '.join(files)})")
        if baseline and baseline.statuses and not baseline.timed_out:
            return baseline
        evidence.scope = "none"
        if baseline is None or baseline.timed_out:
            evidence.problem = "The test suite could not be run to its end on the untouched code."
            return None
        if not self._brings_tests():
            evidence.suite = counts(None, baseline)
            evidence.problem = (
                "No test ran. Set --setup-command or --test-command if there are tests."
            )
            return None
        return baseline

    def _brings_tests(self) -> bool:
        """Return whether tests of the patch's own, or of the issue's, can stand in for a suite."""
        return bool(self.sides.tests or self.sides.issue_test)

    def _sample(self, baseline: TestReport) -> list[str]:
        """Return the test files to run in place of a suite that takes too long."""
        known = sorted({t.partition("::")[0] for t in baseline.statuses if "::" in t})
        return (self.sides.affected or known)[:MOST_FILES]

    def _affected_hold(self, baseline: TestReport) -> bool:
        """Run the tests nearest to the change first; what breaks there refutes it at once."""
        files = self.sides.affected[:MOST_FILES] if self.sides.product else []
        files = [file for file in files if _of_files(baseline, [file]).statuses]
        if not files or self._all_affected(baseline):
            return True
        report, reached = self.sides.watch("patched", files)
        self.reached.append(reached)
        known = _of_files(baseline, files)
        broken = self._broken(known, report)
        if broken:
            self.evidence.scope = "sampled"
            self._refute(broken, known, report)
        return not broken

    def _all_affected(self, baseline: TestReport) -> bool:
        """Tell whether the whole suite is what is nearest to the change."""
        near = set(self.sides.affected[:MOST_FILES])
        return self.evidence.scope == "full" and near.issuperset(
            test.partition("::")[0] for test in baseline.statuses
        )

    def _suite(self, baseline: TestReport) -> TestReport | None:
        """Run the suite with the patch; None when that refutes it."""
        evidence, selectors = self.evidence, ["all"]
        if evidence.scope == "sampled" and self.baseline:
            selectors = self._sample(self.baseline)
        if not self.sides.product:
            after = baseline
        elif self._all_affected(baseline):
            after, reached = self.sides.watch("patched", selectors)
            self.reached.append(reached)
        else:
            after = self.sides.run("patched", selectors)
        evidence.suite = counts(baseline, after)
        evidence.suite.command = baseline.command
        if baseline.statuses and not complete(after):
            self._refute(regressions(baseline, after), baseline, after)
            evidence.problem = "With the patch the suite does not run to its end."
            if "passed" not in baseline.statuses.values():
                evidence.verdict = Verdict.UNPROVED
                evidence.problem = "No test passes on the untouched code, and none with the patch."
            return None
        if broken := self._broken(baseline, after):
            self._refute(broken, baseline, after)
            return None
        if gone := [t for t in lost(baseline, after) if baseline.statuses[t] != "passed"]:
            self.doubts.append(f"{len(gone)} tests are not there any more, the first: {gone[0]}.")
        if after.inconsistent:
            self.doubts.append(f"The tests' results contradict each other: {after.inconsistent}.")
        return after

    def _broken(self, baseline: TestReport, after: TestReport) -> list[str]:
        """Return what the patch breaks, without flaky tests, and those it changes on purpose."""
        suspects = set(regressions(baseline, after)) - self.excused
        if not suspects:
            return []
        broken, flaky = settle(sorted(suspects), self.sides.repeat)
        self.evidence.flaky = sorted({*self.evidence.flaky, *flaky})
        changed = [test for test in broken if any(_owns(c, test) for c in self.sides.changes)]
        if changed and set(changed) == set(broken):
            files = sorted({test.partition("::")[0] for test in changed})
            now = self.sides.run("whole", files)
            if all(now.statuses.get(test) == "passed" for test in changed):
                self.excused |= set(changed)
                self.doubts.append(f"As it was, {changed[0]} fails with the change.")
                return []
        return broken

    def _refute(self, broken: list[str], baseline: TestReport, after: TestReport) -> None:
        evidence = self.evidence
        evidence.verdict = Verdict.REFUTED
        evidence.regressions = broken
        evidence.suite = counts(baseline, after)
        evidence.failure = next((after.failures[t] for t in broken if t in after.failures), "")

    def _show(self, baseline: TestReport, after: TestReport) -> None:
        """Look for tests that show the fix: those that did not know it, then the patch's own."""
        evidence = self.evidence
        if self.sides.product_code:
            self._take(reproduction.by_first(self.sides, baseline, after, self.named_tests))
        known = {shown.test for shown in evidence.reproduction}
        own = reproduction.by_own(self.sides, baseline)
        own.tests = [shown for shown in own.tests if shown.test not in known]
        self._take(own)
        self.doubts += reproduction.named(self.named_tests, baseline, after)
        if not evidence.reproduction:
            evidence.notes += own.notes
        if evidence.own_test_only:
            shown = evidence.reproduction[0].test
            evidence.notes.append(f"Only a test that came with the patch shows the fix: {shown}.")

    def _take(self, shown: reproduction.Shown) -> None:
        self.evidence.reproduction += shown.tests
        self.evidence.flaky += shown.flaky
        self.doubts += shown.doubts
        self.reached.append(shown.reached)

    def _reach(self) -> None:
        """Settle whether the tests reach the change."""
        sides, evidence = self.sides, self.evidence
        if not sides.measurable:
            return
        if True not in self.reached and not evidence.reproduction and evidence.scope == "full":
            far = len(sides.affected) > MOST_FILES or not sides.affected
            if far:
                self.reached.append(sides.watch("whole", ["all"])[1])
        if True in self.reached:
            evidence.reach = "lines"
        elif False in self.reached:
            evidence.reach = "none"
        else:
            evidence.reach = "imports" if sides.affected else "none"

    def _conclude(self) -> None:
        evidence = self.evidence
        if not self.sides.product_code:
            evidence.notes.append("The patch changes no product code.")
        elif evidence.reach == "none" and not evidence.reproduction:
            self.doubts.append(UNREACHED)
        if self.doubts or evidence.tricks or evidence.warnings:
            evidence.verdict = Verdict.UNPROVED
            evidence.problem = " ".join(self.doubts)
            evidence.mendable = not (self.baseline and self.baseline.inconsistent)
        elif evidence.reproduction and self.sides.product_code:
            evidence.verdict = Verdict.SHOWN if evidence.own_test_only else Verdict.PROVED
        else:
            evidence.verdict = Verdict.REGRESSION_FREE


def _tricks(change: Change) -> list[str]:
    return tampering(change) if change.support else product_tricks(change)


def _of_files(report: TestReport, files: list[str]) -> TestReport:
    """Return the part of a report that tells of some files."""
    statuses = {t: s for t, s in report.statuses.items() if t.partition("::")[0] in files}
    return replace(report, statuses=statuses)


def _owns(change: Change, test: str) -> bool:
    """Tell whether a patch changes a test itself, so that it may fail as it was."""
    path, _, name = test.partition("::")
    if not change.support or path != change.new:
        return False
    names = changed_test_names(change)
    return names is None or "" in names or name.partition("[")[0] in names
