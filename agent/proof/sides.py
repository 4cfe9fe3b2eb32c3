"""The sides that a proof compares: untouched, with the tests of a patch, its product, or both."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from reapair.agent.proof.changes import Change, joined, judged, read_changes, with_after
from reapair.agent.proof.changes import with_before as with_before_texts
from reapair.agent.proof.reach import Probed, affected, is_code, targets
from reapair.agent.proof.suites import run_each
from reapair.agent.workspace.clean_room import apply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reapair.agent.workspace.workspace import Workspace
    from reapair.sandbox import Sandbox
    from reapair.sandbox.git.snapshot import Snapshot
    from reapair.tools import TestReport

Side = Literal["untouched", "patched", "tests", "whole"]
"""Nothing of the patch, its product under the tests as they were, its tests alone, all of it."""


class Sides:
    """A patch in parts, and runs of tests with each of them, every run in a fresh sandbox.

    Args:
        workspace: gives the sandboxes and the suite's runner.
        snapshot: what the patch is for.
        seconds: longest that one run of tests may take.

    Attributes:
        changes: the patch's files with their texts on both sides.
        affected: Python test files that import what changes, the nearest first.

    Raises ValueError when the patch does not apply, SandboxError when the sandbox fails.
    """

    def __init__(
        self, workspace: Workspace, patch: bytes, snapshot: Snapshot, seconds: float
    ) -> None:
        self._workspace = workspace
        self._snapshot = snapshot
        self._seconds = seconds
        self._seen: set[str] | None = None
        # Nothing has run in it when it has been read, so that the first run may have it.
        self._ready: Sandbox | None = workspace.room.start(snapshot)
        changes = with_before_texts(read_changes(patch), self._ready)
        self.affected = affected(self._ready, changes)
        try:
            apply(snapshot, self._ready, patch)
        except ValueError:
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
        self._targets = {c.path: targets(c) for c in self.product_code if c.python}

    @property
    def product_code(self) -> list[Change]:
        """The changes to product files that are more than words."""
        return [c for c in self.changes if not c.support and is_code(c)]

    @property
    def measurable(self) -> bool:
        """True when all the product code that changes is Python that is still there."""
        return bool(self._targets) and all(c.path in self._targets for c in self.product_code)

    def run(self, side: Side, selectors: Sequence[str]) -> TestReport:
        """Run tests on a side, in a fresh sandbox."""
        [report] = self.repeat(side, selectors, 1)
        return report

    def repeat(self, side: Side, selectors: Sequence[str], times: int) -> list[TestReport]:
        """Run the same tests several times in one fresh sandbox."""
        runner = self._workspace.runner
        with self._sandbox(side) as sandbox:
            return [run_each(runner, sandbox, selectors, self._seconds) for _ in range(times)]

    def watch(
        self, side: Side, selectors: Sequence[str], *, again: bool = False
    ) -> tuple[list[TestReport], bool | None]:
        """Run tests and tell whether they ran a changed line; None: that can't be measured.

        Args:
            again: run them a second time without watching.
        """
        runner = self._workspace.runner
        with self._sandbox(side) as sandbox:
            probed = Probed(sandbox, self._targets)
            watched = [probed, sandbox] if again else [probed]
            reports = [run_each(runner, each, selectors, self._seconds) for each in watched]
            seen = probed.seen()
        return reports, None if seen is None else bool(seen)

    @contextmanager
    def _sandbox(self, side: Side) -> Iterator[Sandbox]:
        room = self._workspace.room
        sandbox = self._ready if side == self._patch_side else None
        if sandbox:
            self._ready = None
        else:
            sandbox = room.start(self._snapshot, self._parts[side])
        try:
            yield sandbox
        finally:
            room.end(sandbox)

    def close(self) -> None:
        """Give back the sandbox that no run has taken."""
        if self._ready:
            self._workspace.room.end(self._ready)
            self._ready = None
