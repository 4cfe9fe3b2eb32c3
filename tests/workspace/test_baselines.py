"""Reports of untouched code are kept by content, and only sound ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reapair.agent.workspace.baseline_cache import kept
from reapair.tools import TestReport

REPORT = TestReport({"tests/test_a.py::test_b": "passed"}, command="python -m pytest")


class Suite:
    """Counts how often it is run."""

    def __init__(self, report: TestReport) -> None:
        self.report = report
        self.runs = 0

    def __call__(self) -> TestReport:
        self.runs += 1
        return self.report


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "agent" / "baselines"


def test_the_same_code_is_tested_once() -> None:
    suite = Suite(REPORT)
    assert kept(("tree", "image"), suite) == kept(("tree", "image"), suite) == REPORT
    assert suite.runs == 1
    kept(("tree", "other image"), suite)
    assert suite.runs == 2


@pytest.mark.parametrize(
    "report",
    [
        replace(REPORT, timed_out=True),
        replace(REPORT, statuses={}),
        replace(REPORT, inconsistent="exit code 0, although 1 tests did not pass"),
    ],
)
def test_what_says_little_is_not_kept(report: TestReport) -> None:
    suite = Suite(report)
    kept(("tree",), suite)
    kept(("tree",), suite)
    assert suite.runs == 2


def test_a_spoiled_file_is_made_anew(cache: Path) -> None:
    suite = Suite(REPORT)
    kept(("tree",), suite)
    [file] = cache.iterdir()
    assert cache.stat().st_mode & 0o077 == 0
    file.write_text('{"statuses": {"a": "fine"}}')
    assert kept(("tree",), suite) == REPORT
    assert suite.runs == 2
