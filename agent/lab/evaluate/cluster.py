"""Runs jobs on a Ray cluster: one task per instance, results back as they come.

A node needs the same version of this package and, for instances with images, an engine; no file
system is shared. What a lost worker or node was at is run again somewhere else.
"""

from __future__ import annotations

import io
import shutil
import socket
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reapair.agent.lab.evaluate.instance_job import Job, run_job
from reapair.agent.lab.evaluate.instances import InstanceError
from reapair.agent.lab.evaluate.records import Record, read_record, write_record
from reapair.agent.lab.evaluate.unpack import extract

CPUS = 1.0
"""Of a node, for each instance."""

MEMORY = 1 << 30
"""Bytes of a node, for each instance: our own process; a container is limited by its engine."""

REACH_SECONDS = 10.0
"""How long a cluster may take to be reached."""

TASKS_PER_PROCESS = 16
"""After so many instances a worker's process is replaced, so that nothing piles up in it."""


@dataclass(frozen=True, slots=True)
class _Parcel:
    """A job with the files that it needs from here; `archive` is the repository's, if it is one."""

    job: Job
    archive: bytes | None


class RayRunner:
    """Runs jobs on a cluster; in place of `run_locally`.

    Args:
        address: of the cluster, as `ray start` prints it; `auto` takes the one on this machine.
        work: runs one job.

    Raises InstanceError when Ray is not installed or no cluster is there.
    """

    def __init__(self, address: str, work: Callable[[Job], Record] = run_job) -> None:
        try:
            import ray
        except ImportError as error:
            raise InstanceError(
                "--ray needs Ray, here and on every node: pip install 'reapair[ray]'"
            ) from error
        self._ray, self._work = ray, work
        if not ray.is_initialized():
            try:
                _reach(address)
                ray.init(address=address, log_to_driver=False, configure_logging=False)
            except (OSError, ValueError) as error:
                raise InstanceError(f"There is no Ray cluster at {address}: {error}.") from error

    def __call__(self, jobs: Iterator[Job], workers: int) -> Iterator[Record]:
        """Run jobs, at most so many handed out at once; yields each one's record, once."""
        ray = self._ray
        task = ray.remote(num_cpus=CPUS, memory=MEMORY, max_retries=0, max_calls=TASKS_PER_PROCESS)(
            _run_elsewhere
        )
        running: dict[Any, tuple[Job, int]] = {}

        def start(job: Job, number: int = 1) -> None:
            running[task.remote(_packed(job), self._work)] = job, number

        try:
            while True:
                while len(running) < workers and (job := next(jobs, None)):
                    start(job)
                if not running:
                    return
                [ended], _ = ray.wait(list(running), num_returns=1)
                job, number = running.pop(ended)
                try:
                    _unpack(ray.get(ended), job.place)
                except ray.exceptions.RayTaskError as error:
                    yield _failed(job, str(error.cause), number)
                except ray.exceptions.RayError as error:  # Its worker or node is gone.
                    if number < job.tries:
                        start(job, number + 1)
                    else:
                        yield _failed(job, f"Its worker was lost: {error}", number)
                else:
                    yield read_record(job.place) or _failed(job, "It left no record.", number)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def _reach(address: str) -> None:
    """Raise OSError where nothing listens: Ray itself looks for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=REACH_SECONDS).close()


def _failed(job: Job, why: str, number: int) -> Record:
    failure = " ".join(why.split())[:1000]
    record = Record(instance_id=job.instance.id, failure=failure, tries=number)
    write_record(job.place, record)
    return record


def _packed(job: Job) -> _Parcel:
    archive = job.instance.archive
    if archive and archive.is_file():
        return _Parcel(job, archive.read_bytes())
    return _Parcel(job, None)


def _run_elsewhere(parcel: _Parcel, work: Callable[[Job], Record]) -> bytes:
    """Run a job in a directory of this node's and return all that it leaves there."""
    with tempfile.TemporaryDirectory(prefix="agent-eval-") as folder:
        place = Path(folder) / "instance"
        place.mkdir()
        job = replace(parcel.job, place=place)
        if parcel.archive is not None and job.instance.archive:
            archive = Path(folder) / job.instance.archive.name
            archive.write_bytes(parcel.archive)
            instance = job.instance.model_copy(update={"archive": archive})
            job = replace(job, instance=instance)
        work(job)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            tar.add(place, ".")
        return packed.getvalue()


def _unpack(packed: bytes, place: Path) -> None:
    """Put a result where the instance's belongs, wholly or not at all."""
    # Not beside the instances: whatever lies there counts.
    new = place.parent.with_name("incoming") / place.name
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        extract(tar, tar, new)
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    new.rename(place)
