"""Running one process of the host with bounded output and time."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from reapair.sandbox.output import HeadTail

_CHUNK = 256 * 1024
_POLL = 0.05
_WATCH_SECONDS = 2.0
_GRACE = 2.0


@dataclass(slots=True)
class Job:
    """A process to run, and what to ask while and after it runs.

    Attributes:
        argv: the program and its arguments.
        env: its whole environment.
        cwd: its current directory.
        stdin: what it can read.
        outputs: where standard output and standard error go.
        cleanup: ends everything that the process may have left running.
        overfull: asked every now and then; True ends the process.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    stdin: bytes
    outputs: tuple[HeadTail, HeadTail]
    cleanup: Callable[[], None]
    overfull: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ended; `exit_code` is as a shell gives it, 128 + n for signal n."""

    exit_code: int
    timed_out: bool = False
    overfull: bool = False


def run(job: Job, timeout: float) -> Ending:
    """Run a job to its end, at most `timeout` seconds. Raises OSError when it cannot start."""
    with subprocess.Popen(
        list(job.argv),
        env=dict(job.env),
        cwd=job.cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        streams = _Streams(process, job)
        stopped = ""
        try:
            stopped = streams.pump(time.monotonic() + timeout, job.overfull)
        finally:
            if stopped or process.poll() is None:
                process.kill()
            job.cleanup()
            streams.pump(time.monotonic() + _GRACE, lambda: False)
            streams.close()
        code = process.wait()
    return Ending(
        128 - code if code < 0 else code,
        timed_out=stopped == "time",
        overfull=stopped == "size",
    )


class _Streams:
    """The three pipes of a process, served without blocking on any."""

    def __init__(self, process: subprocess.Popen[bytes], job: Job) -> None:
        self._process = process
        self._selector = selectors.DefaultSelector()
        self._unsent = memoryview(job.stdin)
        pipes = cast(list[IO[bytes]], [process.stdin, process.stdout, process.stderr])
        self._stdin, *reading = pipes
        for pipe, output in zip(reading, job.outputs, strict=True):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, output)
        if self._unsent:
            os.set_blocking(self._stdin.fileno(), False)
            self._selector.register(self._stdin, selectors.EVENT_WRITE)
        else:
            self._stdin.close()

    def pump(self, deadline: float, overfull: Callable[[], bool]) -> str:
        """Serve until all output has ended, or the process has; returns "time", "size" or ""."""
        next_watch = time.monotonic() + _WATCH_SECONDS
        while any(key.data for key in self._selector.get_map().values()):
            now = time.monotonic()
            if now >= deadline:
                return "time"
            if now >= next_watch:
                if overfull():
                    return "size"
                # Looking at a big tree takes time: spend no more than a tenth of it on that.
                next_watch = time.monotonic() + max(_WATCH_SECONDS, 10 * (time.monotonic() - now))
            ready = self._selector.select(min(_POLL, deadline - now))
            for key, _ in ready:
                if key.data is None:
                    self._write()
                else:
                    self._read(key)
            if not ready and self._process.poll() is not None:
                return ""
        return self._wait_for_exit(deadline)

    def close(self) -> None:
        """Close whatever is still open."""
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
        self._selector.close()
        if not self._stdin.closed:
            self._close_stdin()

    def _wait_for_exit(self, deadline: float) -> str:
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return "time"
        return ""

    def _read(self, key: selectors.SelectorKey) -> None:
        data = os.read(key.fd, _CHUNK)
        if data:
            key.data.feed(data)
        else:
            self._selector.unregister(key.fileobj)

    def _write(self) -> None:
        try:
            sent = os.write(self._stdin.fileno(), self._unsent[:_CHUNK])
        except BrokenPipeError:
            sent = len(self._unsent)
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._selector.unregister(self._stdin)
            self._close_stdin()

    def _close_stdin(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
