"""Run a process of the host with bounded output and time."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from reapair.sandbox.command_limits import CommandLimits, Stop
from reapair.sandbox.output import HeadTail

_CHUNK = 256 * 1024
_POLL = 0.05
_GRACE = 2.0


@dataclass(slots=True)
class Job:
    """A process to run, and callbacks for when it runs and has ended.

    Attributes:
        argv: the program and its arguments.
        env: all its variables.
        cwd: its current directory.
        stdin: its input.
        outputs: where standard output and standard error go.
        started: called with the process as soon as it runs.
        cleanup: ends all processes that it left running.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    stdin: bytes
    outputs: tuple[HeadTail, HeadTail]
    started: Callable[[subprocess.Popen[bytes]], None]
    cleanup: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ended; `exit_code` is as a shell gives it, 128 + n for signal n."""

    exit_code: int
    stop: Stop = ""


def run(job: Job, limits: CommandLimits) -> Ending:
    """Run a job until it ends or exceeds its limits. Raises OSError when it cannot start."""
    with subprocess.Popen(
        list(job.argv),
        env=dict(job.env),
        cwd=job.cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        job.started(process)
        streams = _Streams(process, job)
        stop: Stop = ""
        try:
            stop = streams.pump(limits)
        finally:
            if process.poll() is None:
                process.kill()
            job.cleanup()
            # All processes have ended; what they wrote is still in the pipes.
            streams.pump(CommandLimits(_GRACE, lambda: False))
            streams.close()
        code = process.wait()
    return Ending(128 - code if code < 0 else code, stop)


class _Streams:
    """The three pipes of a process, read and written without blocking."""

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

    def pump(self, limits: CommandLimits) -> Stop:
        """Read and write until all output has ended or, with some held open, the process has."""
        while any(key.data for key in self._selector.get_map().values()):
            if stop := limits.stop():
                return stop
            ready = self._selector.select(limits.left(_POLL))
            for key, _ in ready:
                if key.data is None:
                    self._write()
                else:
                    self._read(key)
            if not ready and self._process.poll() is not None:
                return ""
        while self._process.poll() is None:
            if stop := limits.stop():
                return stop
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(limits.left(_POLL))
        return ""

    def close(self) -> None:
        """Close the pipes that are still open."""
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
        self._selector.close()
        if not self._stdin.closed:
            self._close_stdin()

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
