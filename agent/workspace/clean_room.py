"""Fresh sandboxes: each holds a snapshot, what is applied to it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reapair.sandbox import SandboxError

if TYPE_CHECKING:
    from reapair.agent.workspace.preparation import Prepared
    from reapair.sandbox import Sandbox
    from reapair.sandbox.git.snapshot import Snapshot
    from reapair.tools import TestReport, TestRunner


class CleanRoom:
    """Starts and ends the sandboxes of one run, or of work without one.

    Args:
        prepared: what each of them starts from.
        owner: whose they are, as their labels name it.
    """

    def __init__(self, prepared: Prepared, owner: str) -> None:
        self._prepared = prepared
        self._owner = owner
        self._open: list[Sandbox] = []
        self._closed = False

    def start(self, snapshot: Snapshot, *patches: bytes) -> Sandbox:
        """Start a sandbox that holds the snapshot with the patches; the caller ends it by `end`.

        Raises SandboxError, and ValueError where a patch does not apply.
        """
        self._check_open()
        sandbox = self._prepared.engine.sandbox(self._prepared.environment, self._owner)
        self._open.append(sandbox)
        try:
            try:
                sandbox.start()
            except SandboxError:
                self._prepared.engine.distrust()
                raise
            self._check_open()
            snapshot.load(sandbox)
            for patch in patches:
                apply(snapshot, sandbox, patch)
        except BaseException:
            self.end(sandbox)
            raise
        return sandbox

    def end(self, sandbox: Sandbox) -> None:
        """Close a sandbox that `start` gave."""
        sandbox.close()
        if sandbox in self._open:  # Another thread may have closed them all.
            self._open.remove(sandbox)

    @contextmanager
    def sandbox(self, snapshot: Snapshot, *patches: bytes) -> Iterator[Sandbox]:
        """Start a sandbox for a block of code."""
        sandbox = self.start(snapshot, *patches)
        try:
            yield sandbox
        finally:
            self.end(sandbox)

    def run_suite(
        self, runner: TestRunner, seconds: float, snapshot: Snapshot, *patches: bytes
    ) -> TestReport:
        """Run all tests in a sandbox of their own."""
        with self.sandbox(snapshot, *patches) as sandbox:
            return runner.run(sandbox, "all", seconds)

    def close(self) -> None:
        """End every sandbox, also those that other threads wait in; there will be no more."""
        self._closed = True
        for sandbox in list(self._open):
            sandbox.close()
        self._open.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise SandboxError("The run has ended meanwhile.")


def apply(snapshot: Snapshot, sandbox: Sandbox, patch: bytes) -> None:
    """Apply a patch in a sandbox that holds the snapshot. Raises ValueError with git's words."""
    if problem := snapshot.apply(sandbox, patch):
        raise ValueError(problem)
