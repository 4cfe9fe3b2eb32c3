"""Runs jobs in processes of this machine, one process per instance."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from reapair.agent.lab.evaluate.instance_job import Job, run_job
from reapair.agent.lab.evaluate.records import OUTPUT, RECORD, Record, read_record, write_record

_PRELOADED = [
    "reapair.agent.lab.evaluate.instance_job",
    "openai",
    "langgraph.checkpoint.sqlite",
    "docker",
]


def run_locally(jobs: Iterator[Job], workers: int) -> Iterator[Record]:
    """Run jobs side by side; yields each one's record when it is stored.

    A process that dies (out of memory, perhaps) costs its own instance a try, and nothing else.

    Args:
        jobs: taken one by one, when a worker is free.
        workers: how many run at once.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    running: dict[int, tuple[BaseProcess, Job, int]] = {}

    def start(job: Job, number: int = 1) -> None:
        job.place.mkdir(parents=True, exist_ok=True)
        (job.place / RECORD).unlink(missing_ok=True)
        process = context.Process(target=_work, args=(job,), daemon=True)
        process.start()
        running[process.sentinel] = (process, job, number)

    try:
        while True:
            while len(running) < workers and (job := next(jobs, None)):
                start(job)
            if not running:
                return
            for sentinel in wait(list(running)):
                process, job, number = running.pop(sentinel)  # type: ignore[arg-type]
                process.join()
                record = read_record(job.place)
                if record is None and number < job.tries:
                    start(job, number + 1)
                    continue
                if record is None:
                    record = _died(job, process.exitcode, number)
                yield record
    finally:
        for process, _, _ in running.values():
            process.kill()


def _died(job: Job, code: int | None, number: int) -> Record:
    record = Record(
        instance_id=job.instance.id,
        failure=f"Its process ended with {code}, perhaps for lack of memory: {job.place / OUTPUT}",
        tries=number,
    )
    write_record(job.place, record)
    return record


def _die_with_parent() -> None:
    """End this process at once when the evaluation's is gone; two must not write in one place."""
    parent = multiprocessing.parent_process()
    assert parent  # noqa: S101 - this is a child
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


def _work(job: Job) -> None:
    """Run one job in this process, which ends with the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The evaluation itself ends its processes.
    threading.Thread(target=_die_with_parent, daemon=True).start()
    output = os.open(job.place / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(output, stream)
    run_job(job)
    with suppress(OSError):
        if not os.fstat(output).st_size:
            (job.place / OUTPUT).unlink()
