"""Trying candidates: each in the same warm sandbox, against the tests that show the fault first."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from reapair.agent.proof.changes import Change
from reapair.agent.proof.reach import affected
from reapair.agent.proof.suites import MOST_FILES, regressions, run_each
from reapair.sandbox import SandboxError
from reapair.tools.files import TextFile, decode

if TYPE_CHECKING:
    from reapair.agent.workspace.workspace import Workspace
    from reapair.sandbox import Sandbox
    from reapair.tools import TestReport

FIRST = 3
"""Tests that are run by themselves before their whole files: most candidates fail there."""

_LEAST_SECONDS = 20.0

Status = Literal["passes", "better", "fails", "breaks"]


@dataclass(frozen=True, slots=True)
class Trial:
    """What tests say of a candidate.

    Attributes:
        status: `passes`: all wanted tests pass and nothing near breaks; `better`: some of them do;
            `breaks`: tests fail that passed before.
        fixed: wanted tests that pass now.
        broken: tests that passed before, some of them.
        failure: what the first test that fails says.
    """

    status: Status
    fixed: int = 0
    broken: tuple[str, ...] = ()
    failure: str = ""
    seconds: float = 0.0


@dataclass
class Trials:
    """The sandbox in which candidates are tried, and what is known of the untouched code.

    Args:
        workspace: gives the sandbox and the runner.
        wanted: ids of the tests that have to pass.
        own: files of ours that hold some of them.
        baseline: the suite on the untouched code, where it is known.
    """

    workspace: Workspace
    wanted: Sequence[str]
    own: Mapping[str, bytes] = field(default_factory=dict)
    baseline: TestReport | None = None
    _sandbox: Sandbox | None = None
    _clean: bytes = b""
    _texts: dict[str, TextFile] = field(default_factory=dict)
    _seconds: float = 120.0
    _before: dict[tuple[str, ...], TestReport] = field(default_factory=dict)

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox with the untouched code and our own tests in it."""
        if self._sandbox is None or self._sandbox.closed:
            self._sandbox = self.workspace.room.start(self.workspace.snapshot)
            for path, data in self.own.items():
                self._sandbox.write(path, data)
            self._clean = self.workspace.snapshot.patch(self._sandbox)
        return self._sandbox

    def text(self, path: str) -> str:
        """Return an untouched file with bare line feeds; "" for what is no text."""
        if path not in self._texts:
            self._texts[path] = decode(self.sandbox.read(path)) or TextFile("", "utf-8")
        return self._texts[path].text.replace("\r\n", "\n")

    def encoded(self, path: str, text: str) -> bytes:
        """Return a changed file as bytes, with the line ends and the encoding that it has."""
        known = self._texts.get(path) or TextFile("", "utf-8")
        if "\r\n" in known.text:
            text = text.replace("\n", "\r\n")
        return known.encode(text)

    def run(self, files: Mapping[str, str]) -> Trial:
        """Try changed files; the sandbox is as it was afterwards."""
        began = time.monotonic()
        for path, text in files.items():
            self.sandbox.write(path, self.encoded(path, text))
        try:
            trial = self._judge(sorted(files))
        finally:
            self._restore(files)
        return replace(trial, seconds=round(time.monotonic() - began, 2))

    def close(self) -> None:
        """Give the sandbox back."""
        if self._sandbox is not None:
            self.workspace.room.end(self._sandbox)
            self._sandbox = None

    def _judge(self, paths: list[str]) -> Trial:
        files = sorted({test.partition("::")[0] for test in self.wanted})[:MOST_FILES]
        fixed: list[str] = []
        broken: list[str] = []
        failure = ""
        if first := list(self.wanted)[:FIRST]:
            report = self._tests(first)
            if not any(report.statuses.get(test) == "passed" for test in first):
                return Trial("fails", failure=_failure(report, first))
            report = self._tests(files)
            fixed = [test for test in self.wanted if report.statuses.get(test) == "passed"]
            broken = self._broken(files, report)
            left = [test for test in self.wanted if test not in fixed]
            failure = _failure(report, broken or left)
        if not broken and len(fixed) == len(self.wanted):
            broken, failure = self._near(paths, files)
        return Trial(self._status(fixed, broken), len(fixed), tuple(broken[:5]), failure)

    def _status(self, fixed: list[str], broken: list[str]) -> Status:
        if broken:
            return "breaks"
        if len(fixed) == len(self.wanted):
            return "passes"
        return "better" if fixed else "fails"

    def _near(self, paths: list[str], done: list[str]) -> tuple[list[str], str]:
        """Return what breaks in tests that import the changed files, and what it says."""
        changes = [Change(b"", path, path) for path in paths]
        near = [file for file in affected(self.sandbox, changes) if file not in done][:MOST_FILES]
        if not near:
            return [], ""
        report = self._tests(near)
        broken = self._broken(near, report)
        return broken, _failure(report, broken) if broken else ""

    def _tests(self, selectors: Sequence[str]) -> TestReport:
        return run_each(self.workspace.runner, self.sandbox, selectors, self._seconds)

    def _broken(self, files: list[str], report: TestReport) -> list[str]:
        """Return what passed before in these files and does not now."""
        before = self.baseline or self._untouched(files)
        known = {t: s for t, s in before.statuses.items() if t.partition("::")[0] in files}
        return regressions(replace(before, statuses=known), report)

    def _untouched(self, files: list[str]) -> TestReport:
        """Run files on the untouched code, once, in a sandbox of their own."""
        key = tuple(files)
        if key not in self._before:
            sandbox = self.workspace.room.start(self.workspace.snapshot)
            try:
                self._before[key] = run_each(self.workspace.runner, sandbox, files, self._seconds)
            finally:
                self.workspace.room.end(sandbox)
        return self._before[key]

    def _restore(self, files: Mapping[str, str]) -> None:
        """Put the files back; where anything else was changed, a fresh sandbox is taken."""
        try:
            for path in files:
                self.sandbox.write(path, self.encoded(path, self.text(path)))
            if self.workspace.snapshot.patch(self.sandbox) != self._clean:
                self.close()
        except (OSError, SandboxError):
            self.close()


def _failure(report: TestReport, tests: Sequence[str]) -> str:
    said = next((report.failures[test] for test in tests if test in report.failures), "")
    return said or (report.output_tail if not report.statuses else "")
