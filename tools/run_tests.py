"""The tool `run_tests`: failures first, then what changed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import Field

from reapair.sandbox.base import Sandbox
from reapair.tools.base import Observation, Parameters, Tool, ToolError
from reapair.tools.code.definitions import outline
from reapair.tools.code.languages import language_of
from reapair.tools.files import is_test_file, listing, nearest, quoted, read_many, relative
from reapair.tools.observation import clip, count, listed
from reapair.tools.testing.test_runner import (
    DEFAULT_TIMEOUT,
    Progress,
    TestReport,
    TestRunner,
    fingerprint,
)

SHOWN_FAILURES = 8
"""Failures shown with their text; of the others only the ids."""

WIDTH = 2_000
"""Characters shown of one line: ids of parametrised tests can be long."""

REMEMBERED = 5_000
"""Most tests whose statuses go into the log, where a later run is compared with them."""

MOST_SECONDS = 3600


class RunTestsParameters(Parameters):
    """What `run_tests` takes."""

    selector: str = Field(
        description="all, a file, a directory, or a test id like tests/test_a.py::test_b."
    )
    timeout: int | None = Field(
        None, description=f"Seconds after which the run is ended. Default {DEFAULT_TIMEOUT:.0f}."
    )


class RunTests(Tool[RunTestsParameters]):
    """Runs tests and tells what changed."""

    name = "run_tests"
    description = (
        "Run tests. Shows failures first, then counts, then what changed against the untouched "
        "repository and the last run."
    )
    parameters = RunTestsParameters

    def __init__(
        self, runner: TestRunner, baseline: Callable[[], TestReport | None], progress: Progress
    ) -> None:
        self._runner = runner
        self._baseline = baseline
        self._progress = progress

    def run(self, arguments: RunTestsParameters, sandbox: Sandbox) -> Observation:
        """Run the tests in the sandbox and compare."""
        selector = self._selector(arguments.selector, sandbox)
        timeout = min(max(arguments.timeout or int(DEFAULT_TIMEOUT), 1), MOST_SECONDS)
        report = self._runner.run(sandbox, selector, timeout)
        if not report.statuses:
            raise ToolError(_nothing_ran(report, selector, sandbox))
        before = self._progress.last_report(report)
        text = "\n\n".join(
            part
            for part in (
                _failures(report),
                _counts(report, selector, timeout),
                _changes(report, selector, self._baseline(), before),
            )
            if part
        )
        data = _facts(report, selector) | {"change": fingerprint(self._progress.diff(sandbox))}
        self.restore(data)
        return Observation(clip(text, width=WIDTH), data=data)

    def _selector(self, given: str, sandbox: Sandbox) -> str:
        """Return the selector relative to the workspace. Raises ToolError for a missing file."""
        chosen = given.strip().strip("'\"")
        if chosen.lower() in ("", "all", "."):
            return "all"
        path, separator, test = chosen.partition("::")
        path = relative(path)
        if sandbox.exec(f"[ -e {quoted(path)} ]").ok:
            return f"{path}{separator}{test}"
        if self._runner.takes_names(sandbox) and not _is_path(path):
            return chosen
        names = [name for name in listing(sandbox) if is_test_file(name)]
        near = nearest(path, names) or names[:5]
        hint = f"Test files near it: {', '.join(near)}." if near else "There are no test files."
        raise ToolError(
            f"No tests were run: there is no {path}. {hint} "
            "selector is all, a file, a directory or a test id."
        )

    def restore(self, data: dict[str, Any]) -> None:
        """Remember a run of the tests."""
        if "change" in data:
            self._progress.tests_ran(
                data["change"], data["selector"], data["counts"], data["statuses"]
            )


def _is_path(text: str) -> bool:
    """Tell a file that is missing from a name: of a test, or of a class with its package."""
    return "/" in text or bool(re.search(r"\.[cm]?[jt]sx?$|\.(?:py|go|rs|java|kt)$", text))


def _nothing_ran(report: TestReport, selector: str, sandbox: Sandbox) -> str:
    path, _, test = selector.partition("::")
    if test and not report.timed_out:
        known = _tests_in(path, sandbox)
        near = difflib.get_close_matches(test, known, n=5, cutoff=0.3) or known[:5]
        if near and test.partition("[")[0] not in known:
            ids = ", ".join(f"{path}::{name}" for name in near)
            return f"No tests were run: there is no {selector}. Tests like it: {ids}."
    if report.exit_code in (0, 5):
        return f"No tests were run: there are none in {selector}."
    reason = "the time was up" if report.timed_out else f"exit code {report.exit_code}"
    return f"No tests were run ({reason}).\n{report.output_tail}".rstrip()


def _tests_in(path: str, sandbox: Sandbox) -> list[str]:
    language = language_of(path)
    found = outline(language, read_many(sandbox, [path])[path]) if language else []
    return [
        entry.name.replace(".", "::")
        for entry in found
        if entry.name.rpartition(".")[2].startswith("test")
    ]


def _failures(report: TestReport) -> str:
    failed = report.having("failed", "error")
    shown = failed[:SHOWN_FAILURES]
    word = {"failed": "FAILED", "error": "ERROR"}
    blocks = [
        f"{word[report.statuses[test]]} {test}\n{report.failures.get(test, '')}".rstrip()
        for test in shown
    ]
    if len(failed) > len(shown):
        blocks.append("Failed too: " + listed(failed[SHOWN_FAILURES:], 20))
    return "\n\n".join(blocks)


def _counts(report: TestReport, selector: str, timeout: int) -> str:
    text = f"{selector}: {report.counts}"
    if report.timed_out:
        at = f" in {report.hanging}" if report.hanging else ""
        text += (
            f"\nThe run was ended after {count(timeout, 'second')}{at}; later tests did not run."
        )
    elif report.inconsistent:
        text += f"\nDo not rely on this: {report.inconsistent}."
    elif report.exit_code not in (0, 1) and report.collected_ok:
        text += f"\nThe test process ended with exit code {report.exit_code}."
    return text


def _changes(
    report: TestReport, selector: str, baseline: TestReport | None, last: TestReport | None
) -> str:
    rows = []
    if baseline is not None:
        told = _difference(baseline, report)
        gone = set(baseline.having("passed")) - report.statuses.keys()
        if gone and selector == "all":
            told += f"; {_part('passed there and did not run now', gone)}"
        rows.append(f"Against the untouched repository: {told}")
    if last is not None:
        rows.append(f"Against your last run: {_difference(last, report)}")
    return "\n".join(rows)


def _difference(before: TestReport, now: TestReport) -> str:
    bad, good = set(now.having("failed", "error")), set(now.having("passed"))
    was_bad, was_good = set(before.having("failed", "error")), set(before.having("passed"))
    known = before.statuses.keys()
    parts = [
        _part("newly failing", bad & was_good),
        _part("newly passing", good & was_bad),
        _part("failing as before", bad & was_bad),
        _part("new and failing", bad - known),
        _part("new and passing", good - known),
    ]
    return "; ".join(part for part in parts if part) or "no change"


def _part(words: str, tests: Iterable[str]) -> str:
    names = sorted(tests)
    return f"{len(names)} {words} ({listed(names, 5)})" if names else ""


def _facts(report: TestReport, selector: str) -> dict[str, Any]:
    """Return what the log keeps: enough to compare with the next run after a resume."""
    few = len(report.statuses) <= REMEMBERED
    return {
        "selector": selector,
        "command": report.command,
        "exit_code": report.exit_code,
        "timed_out": report.timed_out,
        "inconsistent": report.inconsistent,
        "counts": report.counts,
        "failed": report.having("failed", "error"),
        "passed": len(report.having("passed")),
        "skipped": len(report.having("skipped")),
        "statuses": report.statuses if few else {},
    }
