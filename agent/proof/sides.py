"""The sides that a proof compares: untouched, with the tests of a patch, its product, or both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from threading import Lock
from typing import TYPE_CHECKING, Literal

from reapair.agent.proof.changes import Change, joined, judged, read_changes, with_after
from reapair.agent.proof.changes import with_before as with_before_texts
from reapair.agent.proof.issue_example import FILE, issue_test
from reapair.agent.proof.reach import Probed, affected, is_code, ran, targets
from reapair.agent.proof.suites import MOST_FILES, run_each
from reapair.agent.proof.support import is_test_source
from reapair.tools.files import decode, read_many

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reapair.agent.workspace.workspace import Workspace
    from reapair.sandbox import Sandbox
    from reapair.sandbox.git.snapshot import Snapshot
    from reapair.tools import TestReport

Side = Literal["untouched", "patched", "tests", "whole"]
"""Nothing of the patch, its product under the tests as they were, its tests alone, all of it."""


class NotApplicableError(Exception):
    """A patch does not apply to what it is for, in git's words."""


class Sides:
    """A patch in parts, and runs of tests with each of them, every run in a fresh sandbox.

    Args:
        workspace: gives the sandboxes and the suite's runner.
        snapshot: what the patch is for.
        seconds: longest that one run of tests may take.
        issue: its example becomes a test.
        first_tests: patch of the tests that were there before product code was changed.

    Attributes:
        changes: the patch's files with their texts on both sides.
        affected: Python test files that import what changes, the nearest first.
        command: the suite's.
        first_tests: test files as they were before product code was changed, by path.
        seconds: longest that one run of tests may take.
        issue_test: test file made of the issue's example; "" where it states none.
        issue_test_path: where it is put, beside the tests that are nearest to the change.

    Raises NotApplicableError when the patch does not apply, SandboxError when the sandbox fails.
    """

    def __init__(
        self,
        workspace: Workspace,
        patch: bytes,
        snapshot: Snapshot,
        seconds: float,
        issue: str = "",
        first_tests: bytes = b"",
    ) -> None:
        self._workspace = workspace
        self._snapshot = snapshot
        self.seconds = seconds
        self._lock = Lock()
        # Nothing has run in it when it has been read, so that the first run may have it.
        self._ready: Sandbox | None = workspace.room.start(snapshot)
        changes = with_before_texts(read_changes(patch), self._ready)
        self.affected = affected(self._ready, changes)
        self.command = workspace.runner.command
        try:
            self._texts = texts_of(self._ready, self.affected[:MOST_FILES])
            self.issue_test = issue_test(issue, self._ready) if issue else ""
            near = next((path for path in self.affected if path.endswith(".py")), FILE)
            self.issue_test_path = str(PurePosixPath(near).with_name(FILE))
            self._apply(self._ready, patch)
        except BaseException:
            self.close()
            raise
        self.changes = judged(with_after(changes, self._ready), workspace.runner.command)
        self.product = joined(self.changes, support=False)
        self.tests = joined(self.changes, support=True)
        self._parts: dict[Side, bytes] = {
            "untouched": b"",
            "patched": self.product,
            "tests": self.tests,
            "whole": self.product + self.tests,
        }
        self._patch_side: Side = "whole" if self.tests else "patched"
        self.first_tests = self._texts_with(first_tests) if first_tests.strip() else {}
        self._targets = {c.path: targets(c) for c in self.product_code if c.python}

    @property
    def product_code(self) -> list[Change]:
        """The changes to product files that are more than words."""
        return [c for c in self.changes if not c.support and is_code(c)]

    @property
    def data(self) -> dict[str, str]:
        """The original texts of changed product files that are no code, by path."""
        return {c.path: c.before for c in self.changes if not c.support and not c.python and c.old}

    @property
    def measurable(self) -> bool:
        """True when all the product code that changes is Python that is still there."""
        return bool(self._targets) and all(c.path in self._targets for c in self.product_code)

    def _texts_with(self, tests: bytes) -> dict[str, str]:
        """Return the texts of test files with a patch of tests; {} where it does not apply."""
        paths = [c.new for c in read_changes(tests) if c.new and is_test_source(c.new)]
        with self._workspace.room.sandbox(self._snapshot) as sandbox:
            applied = self._snapshot.apply(sandbox, tests) is None
            return texts_of(sandbox, paths[:MOST_FILES]) if applied else {}

    def texts(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the texts of files as they are without the patch; "" where there is none."""
        missing = sorted(set(paths) - self._texts.keys())
        if missing:
            with self.sandbox("untouched") as sandbox:
                self._texts |= texts_of(sandbox, missing)
        return {path: self._texts[path] for path in paths}

    def run(self, side: Side, selectors: Sequence[str]) -> TestReport:
        """Run tests on a side, in a fresh sandbox."""
        [report] = self.repeat(side, selectors, 1)
        return report

    def repeat(self, side: Side, selectors: Sequence[str], times: int) -> list[TestReport]:
        """Run the same tests several times in one fresh sandbox."""
        with self.sandbox(side) as sandbox:
            return [self.run_in(sandbox, selectors) for _ in range(times)]

    def watch(self, side: Side, selectors: Sequence[str]) -> tuple[TestReport, bool | None]:
        """Run tests and return whether they ran a changed line; None: that can't be measured."""
        with self.sandbox(side) as sandbox:
            probed = self.probed(sandbox)
            report = self.run_in(probed, selectors)
            seen = probed.seen()
        return report, None if seen is None else ran(seen)

    def probed(self, sandbox: Sandbox) -> Probed:
        """Return a sandbox in which the changed lines that run are written down."""
        return Probed(sandbox, {**self._targets, **dict.fromkeys(self.data, (0,))})

    def run_in(self, sandbox: Sandbox, selectors: Sequence[str]) -> TestReport:
        """Run tests in a sandbox that is there already."""
        return run_each(self._workspace.runner, sandbox, selectors, self.seconds)

    @contextmanager
    def sandbox(self, side: Side, files: Mapping[str, str] | None = None) -> Iterator[Sandbox]:
        """Give a fresh sandbox with a side in it, and files written over that."""
        with self._lock:
            ready = self._ready if side == self._patch_side else None
            if ready:
                self._ready = None
        room = self._workspace.room
        sandbox = ready or room.start(self._snapshot)
        try:
            if not ready:
                self._apply(sandbox, self._parts[side])
            for path, text in (files or {}).items():
                sandbox.write(path, text.encode("utf-8", "surrogateescape"))
            yield sandbox
        finally:
            room.end(sandbox)

    def close(self) -> None:
        """Give back the sandbox that no run has taken."""
        if self._ready:
            self._workspace.room.end(self._ready)
            self._ready = None

    def _apply(self, sandbox: Sandbox, patch: bytes) -> None:
        if patch and (problem := self._snapshot.apply(sandbox, patch)):
            raise NotApplicableError(problem)


def texts_of(sandbox: Sandbox, paths: Sequence[str]) -> dict[str, str]:
    """Return the texts of files; "" for those that are missing or hold no text."""
    found = {path: decode(data) for path, data in read_many(sandbox, paths).items()}
    return {path: known.text if known else "" for path, known in found.items()}
