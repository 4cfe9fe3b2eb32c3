"""The sandboxes of a run: the one the model works in, the baseline's, fresh ones for the proof."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from reapair.agent.log.event_log import make_private
from reapair.agent.log.formats import SnapshotTaken, TreeChanged
from reapair.agent.workspace.agents_md import Guidance
from reapair.agent.workspace.baseline_cache import kept
from reapair.agent.workspace.clean_room import CleanRoom
from reapair.agent.workspace.preparation import Prepared, prepare
from reapair.agent.workspace.repository_map import RepositoryMap
from reapair.sandbox import SandboxError
from reapair.sandbox.git.repository import GitStore
from reapair.sandbox.git.snapshot import Snapshot
from reapair.tools import TestReport, TestRunner

if TYPE_CHECKING:
    from reapair.agent.log.event_log import Run
    from reapair.agent.log.events import Event
    from reapair.agent.settings.settings import Settings
    from reapair.sandbox import Engine, Sandbox

SUITE_SECONDS = 1800.0
"""Longest that a whole test suite may run."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What a prepared workspace has.

    `map` is None where the first prompt was sent already; `room` gives fresh sandboxes.
    """

    snapshot: Snapshot
    prepared: Prepared
    guidance: Guidance
    map: RepositoryMap | None
    room: CleanRoom


class Workspace:
    """Snapshot, engine and environment of one run, and every sandbox made from them.

    Args:
        run: its directory holds the snapshot's objects.
        repository: the user's repository; only read.
        whole: the workspace of the whole run, when this is for one of its attempts: snapshot,
            environment and baseline are made there once.
        engine: the caller's own; default: what `settings` name.
    """

    def __init__(
        self,
        run: Run,
        settings: Settings,
        repository: Path,
        whole: Workspace | None = None,
        engine: Engine | None = None,
    ) -> None:
        self._run = run
        self._settings = settings
        self.repository = repository
        self._whole = whole
        self._engine = engine
        # An attempt finds these in its run, also when it is opened for itself later.
        self._shared = run.directory.with_name(run.id.partition(".")[0])
        self._store = self._shared / "store"
        self._closed = False
        self._main: Sandbox | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="baseline")
        self._baseline: Future[TestReport] | None = None
        self.runner: TestRunner = whole.runner if whole else TestRunner(settings.test_command)
        self.named_tests = settings.test
        self.suite_seconds = SUITE_SECONDS
        self._ready: Ready | None = None

    def prepare(self, say: Callable[[str], None]) -> None:
        """Take the snapshot, choose the engine, build the environment. Raises SandboxError.

        A run that has a snapshot already, because it is resumed, keeps it.
        """
        snapshot = self._snapshot()
        if self._whole:
            room = CleanRoom(self._whole.prepared, self._run.id)
            self._ready = replace(self._whole.ready, snapshot=snapshot, room=room)
            return
        store = GitStore(self._store, self.repository)
        new = not self._run.of_kind("request")
        repository_map = RepositoryMap(store.git, snapshot.tree) if new else None
        prepared = prepare(snapshot, store, self._settings, say, self._engine)
        guidance = Guidance(store.git, snapshot.tree, prepared.project)
        room = CleanRoom(prepared, self._run.id)
        self._ready = Ready(snapshot, prepared, guidance, repository_map, room)
        if prepared.test_command:
            self.runner.command = prepared.test_command

    @property
    def ready(self) -> Ready:
        """What `prepare` has made. Raises SandboxError before that."""
        if self._ready is None:
            raise SandboxError("The run's sandboxes are not prepared yet.")
        return self._ready

    @property
    def snapshot(self) -> Snapshot:
        """The repository as the run sees it."""
        return self.ready.snapshot

    @property
    def prepared(self) -> Prepared:
        """The engine, the environment, and what they told."""
        return self.ready.prepared

    def _snapshot(self) -> Snapshot:
        make_private(self._store)
        for event in self._run.of_kind("snapshot"):
            return Snapshot.open(self._store, event.read(SnapshotTaken).name)
        snapshot = (
            self._whole.snapshot
            if self._whole
            else Snapshot.of_work_tree(
                self.repository,
                self._store,
                include=self._settings.include,
                history=self._settings.history,
            )
        )
        self._run.append(
            "snapshot",
            name=snapshot.name,
            tree=snapshot.tree,
            head=snapshot.head,
            dirty=snapshot.dirty,
            left_out=snapshot.left_out,
        )
        return snapshot

    @property
    def room(self) -> CleanRoom:
        """Gives fresh sandboxes."""
        if self._closed:
            self.ready.room.close()
        return self.ready.room

    def sandbox(self) -> Sandbox:
        """Return the model's sandbox; made, with the last recorded patch in it, when needed."""
        if self._main is None:
            try:
                self._main = self.room.start(self.snapshot, self.recorded_patch())
            except ValueError as problem:
                raise SandboxError(
                    f"The run's last patch does not apply any more: {problem}"
                ) from None
        return self._main

    def replace(self) -> None:
        """Give up the model's sandbox; the next use makes one anew."""
        if self._main is not None:
            self.room.end(self._main)
            self._main = None

    def patch(self) -> bytes:
        """Return the change the model has made so far."""
        return self.snapshot.patch(self.sandbox())

    def record(self, step: int) -> None:
        """Log the change made so far, if it is another one than before."""
        self.keep(self.patch(), step)

    def keep(self, patch: bytes, step: int) -> None:
        """Log a patch as the run's change."""
        if patch == self.recorded_patch():
            return
        name = f"{len(self._run.of_kind('tree')) + 1:04}.diff"
        self._run.write(f"trees/{name}", patch)
        self._run.append("tree", step, file=f"trees/{name}", bytes=len(patch))

    def roll_back(self, call: Event) -> None:
        """Take back the change of a call that was begun and has no result: it may be done again."""
        trees = self._run.of_kind("tree")
        if not trees or trees[-1].seq < call.seq:
            return
        before = next((tree.data for tree in reversed(trees) if tree.seq < call.seq), None)
        if before is None:
            self._run.write("trees/0000.diff", b"")
            before = {"file": "trees/0000.diff", "bytes": 0}
        self._run.append("tree", call.step, **before)

    def recorded_patches(self) -> Iterator[bytes]:
        """Yield the changes that were logged, in their order."""
        for tree in self._run.of_kind("tree"):
            yield (self._run.directory / tree.data["file"]).read_bytes()

    def recorded_patch(self) -> bytes:
        """Return the last change that was logged; empty when there is none."""
        return last_patch(self._run)

    def start_baseline(self) -> None:
        """Run the suite on the untouched snapshot, in the background and in its own sandbox."""
        if not self._whole:
            self._baseline = self._executor.submit(self._run_baseline)

    def _run_baseline(self) -> TestReport:
        file = self._shared / "baseline.json"
        if file.exists():
            return TestReport(**json.loads(file.read_text("utf-8")))
        report = self.suite_of(self.snapshot)
        self._run.write(file.name, json.dumps(asdict(report)).encode())
        return report

    def baseline(self, seconds: float | None = None) -> TestReport | None:
        """Wait for the baseline; None when it could not be run at all, or not in the time given."""
        if self._whole:
            return self._whole.baseline(seconds)
        if self._baseline is None:
            return None
        try:
            return self._baseline.result(seconds)
        except (SandboxError, TimeoutError):
            return None

    def suite_of(self, snapshot: Snapshot) -> TestReport:
        """Return what the suite says of untouched code; remembered for the next run."""
        environment = self.prepared.environment.reference
        if not environment:  # What the host has installed can change under the same name.
            return self._suite(snapshot)
        kind = self.prepared.engine.kind
        parts = (snapshot.name, kind, environment, self.runner.command, str(self.suite_seconds))
        return kept(parts, lambda: self._suite(snapshot))

    def _suite(self, snapshot: Snapshot) -> TestReport:
        return self.room.run_suite(self.runner, self.suite_seconds, snapshot)

    def close(self) -> None:
        """End every sandbox, also those that other threads wait in; there will be no more."""
        self._closed = True
        if self._ready:
            self._ready.room.close()
        self._executor.shutdown(wait=False, cancel_futures=True)


def last_patch(run: Run) -> bytes:
    """Return the last change that was logged in a run; empty when there is none."""
    trees = run.of_kind("tree")
    return (run.directory / trees[-1].read(TreeChanged).file).read_bytes() if trees else b""
