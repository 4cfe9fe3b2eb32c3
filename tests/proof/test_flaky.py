"""Which failures are a patch's fault: reports of repeated runs, read without running anything."""

from __future__ import annotations

from collections.abc import Sequence

from reapair.agent.proof.suites import lost, regressions, selectors, settle
from reapair.tools import Status, TestReport

A, B = "tests/test_a.py::test_a", "tests/test_b.py::test_b"


class Runs:
    """Answers with prepared statuses, side by side with what was asked."""

    def __init__(self, patched: list[Status], untouched: Status, among_all: Status) -> None:
        self._patched, self._untouched, self._among_all = patched, untouched, among_all
        self.asked: list[str] = []

    def __call__(self, side: str, chosen: Sequence[str], times: int) -> list[TestReport]:
        self.asked.append(f"{side} {' '.join(chosen)}")
        if side == "untouched":
            return [TestReport({A: self._untouched})] * times
        statuses = [self._among_all] if list(chosen) == ["all"] else self._patched[:times]
        return [TestReport({A: status}) for status in statuses]


def test_what_fails_each_time_is_broken() -> None:
    assert settle([A], Runs(["failed", "failed"], "passed", "failed")) == ([A], [])


def test_what_passes_once_and_among_all_is_flaky() -> None:
    assert settle([A], Runs(["failed", "passed"], "passed", "passed")) == ([], [A])


def test_what_fails_without_the_patch_as_well_is_flaky() -> None:
    assert settle([A], Runs(["failed", "failed"], "failed", "passed")) == ([], [A])


def test_what_fails_only_in_company_is_broken() -> None:
    runs = Runs(["passed", "passed"], "passed", "failed")
    assert settle([A], runs) == ([A], [])
    assert runs.asked == ["patched tests/test_a.py", "patched all"]


def test_a_skip_and_a_disappearance_are_regressions() -> None:
    before = TestReport({A: "passed", B: "passed", "tests/test_c.py": "error"})
    assert regressions(before, TestReport({A: "skipped"})) == [A, B]
    assert lost(before, TestReport({A: "skipped"})) == [B]


def test_many_files_are_run_as_a_whole() -> None:
    assert selectors([A, B]) == ["tests/test_a.py", "tests/test_b.py"]
    assert selectors(f"t{n}.py::test" for n in range(9)) == ["all"]
    assert selectors(["pkg.TestX.test_y"]) == ["all"]
