"""A whole evaluation: instances in, records out, resumable at any instant."""

from __future__ import annotations

import fcntl
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from reapair.agent.lab.evaluate.instance_job import Job
from reapair.agent.lab.evaluate.instance_selection import Selection
from reapair.agent.lab.evaluate.instances import InstanceError, read_instances
from reapair.agent.lab.evaluate.manifest import keep_manifest, make_manifest
from reapair.agent.lab.evaluate.predictions import Predictions
from reapair.agent.lab.evaluate.processes import run_locally
from reapair.agent.lab.evaluate.records import Record, place_of, read_record
from reapair.agent.lab.evaluate.reports import write_predictions
from reapair.agent.settings.settings import Settings

Runner = Callable[[Iterator[Job], int], Iterator[Record]]
"""Runs jobs, so many at once, and yields each one's record: processes here, tasks elsewhere."""


@dataclass(frozen=True)
class Plan:
    """What is to be evaluated, and how.

    Attributes:
        tasks: file or directory with instances.
        out: directory that keeps everything; what is finished there is not run again.
        settings: of each run.
        solver: see `Job`; `predictions:FILE` grades the patches of a file.
        workers: instances at once.
        ids, part, shuffle: see `Selection`.
        base_urls: servers; each run keeps one.
        clones: directory of clones for instances without an archive.
        redo: run again what is finished.

    Paths are made absolute here, because workers and git run in directories of their own.
    """

    tasks: Path
    out: Path
    settings: Settings
    solver: str = "model"
    workers: int = 1
    ids: Sequence[str] = ()
    part: str = ""
    shuffle: int | None = None
    base_urls: Sequence[str] = ()
    clones: Path | None = None
    redo: bool = False

    def __post_init__(self) -> None:
        name, _, file = self.solver.partition(":")
        absolute = {
            "tasks": self.tasks.absolute(),
            "out": self.out.absolute(),
            "clones": self.clones and self.clones.absolute(),
            "solver": f"{name}:{Path(file).absolute()}" if file else name,
        }
        for field_name, value in absolute.items():
            object.__setattr__(self, field_name, value)


@dataclass
class Progress:
    """How far an evaluation is.

    Attributes:
        total: instances that were selected.
        earlier: those of them that were finished before.
        counts: how many are resolved, unresolved, or failed for reasons of infrastructure.
        running: ids of those at work, with the time they began.
    """

    total: int
    earlier: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    running: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        """Instances that have a record, from now and from before."""
        return sum(self.counts.values())

    @property
    def per_hour(self) -> float:
        """Instances that come to an end in an hour, at the pace so far."""
        seconds = time.monotonic() - self.began
        return (self.done - self.earlier) / seconds * 3600 if seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end at this pace; None before the first is done."""
        rate = self.per_hour / 3600
        return (self.total - self.done) / rate if rate else None

    def count(self, record: Record) -> None:
        """Take a finished instance into account."""
        self.running.pop(record.instance_id, None)
        if not record.graded:
            self.counts["failed"] += 1
        else:
            self.counts["resolved" if record.resolved else "unresolved"] += 1


def evaluate(
    plan: Plan,
    on_record: Callable[[Progress, Record | None], None] = lambda *_: None,
    runner: Runner = run_locally,
) -> Progress:
    """Run what is not finished yet; returns how it ended.

    Args:
        plan: what to do.
        on_record: called once at the start without a record, then with each one.
        runner: runs the jobs.

    Raises InstanceError for tasks that can't be read or another evaluation in the same place,
    ModelError when a server does not answer.
    """
    name, _, file = plan.solver.partition(":")
    _check_solver(name, file)
    predictions = Predictions(Path(file)) if name == "predictions" else None
    selection = Selection(read_instances(plan.tasks), plan.ids, plan.part, plan.shuffle)
    if not len(selection):
        raise InstanceError(f"No instance of {plan.tasks} was selected. Look at --ids and --slice.")
    manifest = make_manifest(plan.settings, plan.solver, plan.base_urls, plan.tasks, selection.ids)
    plan.out.mkdir(parents=True, exist_ok=True)
    with _locked(plan.out):
        keep_manifest(plan.out, manifest, redo=plan.redo)
        progress = Progress(len(selection))
        unfinished = _Unfinished(plan, selection, progress, predictions)
        on_record(progress, None)
        report = _GrowingReport(plan.out, manifest["model"])
        try:
            for record in runner(iter(unfinished), plan.workers):
                unfinished.release(record)
                progress.count(record)
                on_record(progress, record)
                report.update()
        finally:
            report.write()
    return progress


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Hold an evaluation's directory; the kernel frees it however this process ends.

    Raises InstanceError, which names the owner, where another process holds it.
    """
    with (out / ".lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InstanceError(
                f"{out} is in use by another evaluation, {file.read(200).strip()}. "
                "Wait for it, or give another --out."
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()} since {time.strftime('%F %T')}\n")
        file.flush()
        yield


class _GrowingReport:
    """Predictions and report, written while records arrive, so that a killed run leaves them.

    Each writing reads all records: they are apart by ten times what one takes, at least by seconds.
    """

    SECONDS = 15.0

    def __init__(self, out: Path, model: str) -> None:
        self._out, self._model = out, model
        self._due = 0.0

    def update(self) -> None:
        if time.monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        begun = time.monotonic()
        write_predictions(self._out, self._model)
        ended = time.monotonic()
        self._due = ended + max(self.SECONDS, 10 * (ended - begun))


def servers_for(
    settings: Settings, given: Sequence[str], solver: str
) -> tuple[Settings, tuple[str, ...]]:
    """Return the servers of an evaluation, and the settings with the key that belongs to them.

    Named ones, else the settings', else the one that a run would find. Raises ModelError.
    """
    if solver != "model":
        return settings, ()
    if given or settings.base_url:
        return settings, tuple(given) or (str(settings.base_url),)
    from pydantic import SecretStr

    from reapair.agent.model.connect import connect
    from reapair.agent.model.kept_server import kept_server

    if kept := kept_server():
        key = SecretStr(kept.api_key) if kept.api_key else None
        return settings.model_copy(update={"api_key": key}), (kept.base_url,)
    # A server that was found by looking gets no key.
    url = connect(settings).server.base_url
    return settings.model_copy(update={"api_key": None}), (url,)


def _check_solver(name: str, file: str) -> None:
    wants_file = name in ("script", "predictions")
    if name not in ("model", "gold", "empty", "script", "predictions") or wants_file != bool(file):
        raise InstanceError(
            "There is no such solver. Take model, gold, empty, script:FILE or predictions:FILE."
        )
    if wants_file and not Path(file).is_file():
        raise InstanceError(f"There is no file {file}.")


class _Unfinished:
    """Makes the jobs one by one, each when somebody is free for it."""

    def __init__(
        self,
        plan: Plan,
        selection: Selection,
        progress: Progress,
        predictions: Predictions | None,
    ) -> None:
        self._plan, self._selection, self._progress = plan, selection, progress
        self._predictions = predictions
        self._busy = Counter(dict.fromkeys(plan.base_urls, 0))
        self._server: dict[str, str] = {}
        self._todo: set[str] = set()
        for name in selection.ids:
            record = None if plan.redo else read_record(place_of(plan.out, name))
            if record and record.graded:
                progress.earlier += 1
                progress.count(record)
            else:
                self._todo.add(name)

    def __iter__(self) -> Iterator[Job]:
        for instance in self._selection:
            if instance.id not in self._todo:
                continue
            self._progress.running[instance.id] = time.monotonic()
            yield Job(
                instance,
                place_of(self._plan.out, instance.id),
                self._settings(instance.id),
                "predictions" if self._predictions else self._plan.solver,
                self._predictions.patch(instance.id) if self._predictions else b"",
                self._plan.clones,
            )

    def release(self, record: Record) -> None:
        """Take note that an instance needs its server no more."""
        if url := self._server.pop(record.instance_id, None):
            self._busy[url] -= 1

    def _settings(self, instance_id: str) -> Settings:
        """Return the settings with the least busy server; the run keeps that one."""
        if not self._busy:
            return self._plan.settings
        url = min(self._busy, key=lambda each: self._busy[each])
        self._busy[url] += 1
        self._server[instance_id] = url
        return self._plan.settings.model_copy(update={"base_url": url})
