"""Makes tasks: a bug that some tests notice and others don't, with the first ones hidden."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from reapair.agent.lab.tasks.bugs import Bug, bugs, is_product
from reapair.agent.lab.tasks.task_directory import Noticed, write_task
from reapair.agent.settings.settings import Settings
from reapair.agent.workspace.clean_room import CleanRoom
from reapair.agent.workspace.preparation import prepare
from reapair.sandbox import SandboxError
from reapair.sandbox.git.repository import GitStore
from reapair.sandbox.git.scratch_repository import ScratchRepository, write_files
from reapair.sandbox.git.snapshot import Snapshot
from reapair.tools import TestReport, TestRunner, is_test_file

TRIES = 12
"""Bugs that are tried at most for each task that is wanted: about two in five are noticed."""

RUN_SECONDS = 900.0
"""Of the suite on the untouched code; with a bug, ten times what that took, or a minute."""


class TasksError(Exception):
    """No tasks can be made of this repository. The message says why and what to do."""


def make_tasks(
    repository: Path,
    out: Path,
    count: int,
    seed: int,
    settings: Settings,
    say: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Write up to `count` tasks below `out` and return their directories.

    Args:
        repository: a path in the repository's work tree; nothing in it is changed.
        out: each task is a folder in it.
        count: how many are wanted.
        seed: of the choice of bugs; the same one gives the same tasks.
        settings: engine and environment.
        say: is told what happens.

    Raises TasksError, NoGeneratorError, SandboxError.
    """
    with tempfile.TemporaryDirectory(prefix="agent-tasks-") as folder:
        suite = _Suite(repository, Path(folder) / "store", settings, say)
        clean = Path(folder) / "clean"
        files = suite.unpack(clean)
        before = suite.baseline()
        say(f"{len(before)} tests pass before")
        made: list[Path] = []
        found = bugs(clean, [name for name in files if is_product(name)], seed)
        for number, bug in enumerate(found, 1):
            if len(made) == count or number > count * TRIES:
                break
            noticed = suite.notices(bug, before)
            say(f"{bug.id}: {len(noticed.failing) if noticed else 'not'} noticed")
            if noticed:
                made.append(write_task(clean, out, repository.resolve().name, bug, noticed))
        return made


class _Suite:
    """Runs the repository's suite with and without a bug, each time in a fresh sandbox."""

    def __init__(
        self, repository: Path, store: Path, settings: Settings, say: Callable[[str], None]
    ) -> None:
        self._snapshot = Snapshot.of_work_tree(repository, store)
        self._store = GitStore(store, repository)
        prepared = prepare(self._snapshot, self._store, settings, say)
        self._room = CleanRoom(prepared, "tasks")
        self._runner = TestRunner(prepared.test_command)
        self._timeout = RUN_SECONDS

    def unpack(self, place: Path) -> list[str]:
        """Write the repository's files to a directory and return their paths."""
        place.mkdir()
        write_files(self._store.directory, self._snapshot.tree, place)
        listed = self._store.git("ls-tree", "-r", "-z", "--name-only", self._snapshot.tree)
        return sorted(name for name in listed.decode("utf-8", "replace").split("\0") if name)

    def baseline(self) -> set[str]:
        """Return the tests that pass without a bug, twice."""
        import time

        begun = time.monotonic()
        reports = [self._run(b""), self._run(b"")]
        self._timeout = max(60.0, 5 * (time.monotonic() - begun))
        passing = set.intersection(*(set(report.having("passed")) for report in reports))
        if not passing:
            raise TasksError(
                "No test passes before anything is changed:\n"
                f"{reports[0].output_tail[-500:]}\n"
                "Say how tests run here with --setup-command and --test-command."
            )
        return passing

    def notices(self, bug: Bug, before: set[str]) -> Noticed | None:
        """Return what the suite says of a bug; None when it is no task.

        Told the same twice, some tests fail by themselves and some still pass. A test that can't
        even be collected shows nothing but that.
        """
        patch = self._patch(bug)
        reports = []
        for _ in range(2):
            report = self._run(patch)
            if report.timed_out or not report.collected_ok or not report.having("failed"):
                return None
            reports.append(report)
        failing = self._in_both(reports, before, "failed")
        passing = self._in_both(reports, before, "passed")
        if not failing or not passing:
            return None
        return Noticed(failing, passing, reports[0].failures, reports[0].command)

    def _in_both(self, reports: list[TestReport], before: set[str], status: str) -> list[str]:
        """Return tests of test files that have a status in both; those in the product stay."""
        tests = before.intersection(*(report.statuses for report in reports))
        return sorted(
            test
            for test in tests
            if all(report.statuses[test] == status for report in reports)
            and is_test_file(test.partition("::")[0])
        )

    def _patch(self, bug: Bug) -> bytes:
        with tempfile.TemporaryDirectory(prefix="agent-tasks-") as folder:
            tree = ScratchRepository(Path(folder))
            before = self._store.git("show", f"{self._snapshot.tree}:{bug.file}")
            first = tree.commit({bug.file: before})
            return tree.diff(first, tree.commit({bug.file: bug.text.encode()}))

    def _run(self, patch: bytes) -> TestReport:
        try:
            return self._room.run_suite(self._runner, self._timeout, self._snapshot, patch)
        except ValueError as problem:
            raise SandboxError(f"A bug's patch does not apply: {problem}.") from None
