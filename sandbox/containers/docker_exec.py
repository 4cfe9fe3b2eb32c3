"""Run commands by the exec API of Docker: input and both output streams over one socket."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from reapair.sandbox.base import WORKSPACE
from reapair.sandbox.command_limits import CommandLimits, Stop
from reapair.sandbox.output import HeadTail

if TYPE_CHECKING:
    from docker import APIClient

USER = "1000:1000"
_CHUNK = 256 * 1024
_FRAME_HEADER = 8

POLL_SECONDS = 0.1
_DETACHED_GRACE = 0.3

# The first line of input is the length of the command's own; nothing runs until it has come.
_GATE = 'read -r n; [ "$n" = 0 ] && exec "$@" </dev/null; head -c "$n" | "$@"'

Outputs = tuple[HeadTail, HeadTail]
"""The buffers of standard output and standard error."""

Frames = list[tuple[int, bytes]]
"""Pieces of output in order: 1 with what was written to stdout, 2 with stderr."""


class ExecSocket:
    """A command started through the exec API, with its streams attached.

    The command waits for the first `send`, because output that comes together with the engine's
    response header would be lost.
    """

    def __init__(
        self,
        api: APIClient,
        container: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        user: str = USER,
    ) -> None:
        created = api.exec_create(
            container,
            list(argv),
            stdin=True,
            user=user,
            workdir=WORKSPACE,
            environment=dict(env),
        )
        self.id: str = created["Id"]
        self._file = api.exec_start(self.id, socket=True)
        self._socket: socket.socket = cast(Any, self._file)._sock
        self._socket.setblocking(False)
        self._outgoing = memoryview(b"")
        self._incoming = bytearray()

    def send(self, data: bytes) -> None:
        """Queue bytes for the command's standard input; `step` sends them."""
        self._outgoing = memoryview(bytes(self._outgoing) + data)

    def step(self, wait: float) -> Frames | None:
        """Send and receive without blocking; when neither is possible, wait at most `wait` seconds.

        Returns the frames received ([] for none), None once the stream has ended.
        """
        try:
            if self._outgoing:
                self._send_some()
            data = self._socket.recv(_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self._wait(wait)
            return []
        except OSError:
            return None
        if not data:
            return None
        self._incoming += data
        return self._frames()

    def close(self) -> None:
        """Close the connection; the command itself runs on until it is killed."""
        self._socket.close()
        self._file.close()

    def _send_some(self) -> None:
        try:
            sent = self._socket.send(self._outgoing[:_CHUNK])
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        self._outgoing = self._outgoing[sent:]

    def _wait(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | (select.POLLOUT if self._outgoing else 0))
        poll.poll(max(1, seconds * 1000))

    def _frames(self) -> Frames:
        frames: Frames = []
        position = 0
        while len(self._incoming) - position >= _FRAME_HEADER:
            start = position + _FRAME_HEADER
            end = start + int.from_bytes(self._incoming[position + 4 : start], "big")
            if end > len(self._incoming):
                break
            frames.append((self._incoming[position], bytes(self._incoming[start:end])))
            position = end
        del self._incoming[:position]
        return frames


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """How a command ended: with an exit code, or without one where it exceeded its limits."""

    exit_code: int | None
    stop: Stop = ""


def run_once(
    api: APIClient,
    container: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    stdin: bytes,
    outputs: Outputs,
    limits: CommandLimits,
    user: str = USER,
) -> CommandEnd:
    """Run a command in a separate exec; what it leaves running is not ended here."""
    stream = ExecSocket(api, container, ["/bin/sh", "-c", _GATE, "sh", *argv], env, user)
    try:
        stream.send(b"%d\n" % len(stdin) + stdin)
        stop = _drain(api, stream, outputs, limits)
        return CommandEnd(None if stop else _exit_code(api, stream.id), stop)
    finally:
        # An open stream that is not read makes some engines hang in the kill that follows.
        stream.close()


def _drain(api: APIClient, stream: ExecSocket, outputs: Outputs, limits: CommandLimits) -> Stop:
    """Read until the command has ended or must stop; return why it must."""
    ended_at: float | None = None
    while not (stop := limits.stop()):
        frames = stream.step(limits.left(POLL_SECONDS))
        if frames is None:
            return ""
        for kind, data in frames:
            outputs[1 if kind == 2 else 0].feed(data)
        if frames or api.exec_inspect(stream.id)["Running"]:
            continue
        # A process left running holds the output open: wait a moment for late bytes.
        ended_at = ended_at or time.monotonic()
        if time.monotonic() - ended_at > _DETACHED_GRACE:
            return ""
    return stop


def _exit_code(api: APIClient, exec_id: str) -> int | None:
    for _ in range(50):
        state = api.exec_inspect(exec_id)
        if not state["Running"]:
            return int(state["ExitCode"])
        time.sleep(0.02)
    return None


def disk_use(
    api: APIClient, container: str, folders: Sequence[str], user: str = USER
) -> tuple[int, int]:
    """Return the bytes that folders use, and those free on the disk of the first.

    Measured from inside, because the engine may be on another machine. Raises ValueError or
    IndexError where the image has no `df` or `du`.
    """
    script = f"df -Pk {folders[0]} | tail -n 1; du -sxk {' '.join(folders)} 2>/dev/null"
    looking = api.exec_create(container, ["/bin/sh", "-c", script], user=user)
    output: bytes = api.exec_start(looking["Id"])
    disk, *trees = [line.split() for line in output.splitlines()]
    return sum(int(tree[0]) for tree in trees) * 1024, int(disk[3]) * 1024
