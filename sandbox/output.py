"""Keep a command's output in bounded memory, and build its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from reapair.sandbox.base import ExecResult
from reapair.sandbox.command_limits import Stop

Listener = Callable[[bytes], None]
"""Called with the output while a command runs."""

_LONGEST = 128 * 1024 - 1
_LONGEST_TOGETHER = 1024 * 1024


def by_line(show: Callable[[str], None]) -> Listener:
    """Return a listener that calls `show` with each whole line, without its line end."""
    pending = bytearray()

    def listen(data: bytes) -> None:
        pending.extend(data)
        *lines, rest = bytes(pending).split(b"\n")
        pending[:] = rest
        for line in lines:
            show(line.decode("utf-8", "replace").rstrip("\r"))

    return listen


class HeadTail:
    """Keeps the first and the last half of `limit` bytes of a stream.

    Args:
        limit: most bytes kept.
        listener: called with all output, also what is not kept.
    """

    def __init__(self, limit: int, listener: Listener | None = None) -> None:
        self._half = max(1, limit // 2)
        self._head = bytearray()
        self._tail = bytearray()
        self._total = 0
        self._listener = listener

    def feed(self, data: bytes) -> None:
        """Add the next bytes of the stream."""
        if self._listener is not None:
            self._listener(data)
        self._total += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data[-self._half :]
        # Cut only now and then, so that many small pieces take linear time.
        if len(self._tail) > 4 * self._half:
            del self._tail[: -self._half]

    @property
    def dropped(self) -> int:
        """The number of bytes left out between head and tail."""
        return max(0, self._total - len(self._head) - self._half)

    @property
    def value(self) -> bytes:
        """Head and tail; a line between them tells how many bytes were left out."""
        tail = bytes(self._tail[-self._half :])
        if not self.dropped:
            return bytes(self._head) + tail
        return bytes(self._head) + b"\n[%d bytes left out]\n" % self.dropped + tail


def unusable(argv: Sequence[str], env: Mapping[str, str]) -> ExecResult | None:
    """Return the result of a command that cannot be started at all, None for any other."""
    words = [word.encode("utf-8", "surrogateescape") for word in (*argv, *env, *env.values())]
    if any(b"\0" in word for word in words):
        return ExecResult(126, b"", b"a command cannot hold a NUL character\n")
    if max(map(len, words), default=0) > _LONGEST or sum(map(len, words)) > _LONGEST_TOGETHER:
        return ExecResult(126, b"", b"the command is too long: put the text into a file\n")
    return None


def result(
    exit_code: int | None,
    outputs: tuple[HeadTail, HeadTail],
    *,
    stop: Stop = "",
    oom: bool = False,
    died: bool = False,
) -> ExecResult:
    """Return a command's result; one stopped because of the disk looks killed (exit code 137)."""
    stdout, stderr = outputs
    if stop == "size":
        exit_code = 137
        stderr.feed(b"\nended: the workspace has grown too big, or the disk is full\n")
    return ExecResult(
        None if stop == "time" else exit_code,
        stdout.value,
        stderr.value,
        dropped=stdout.dropped + stderr.dropped,
        timed_out=stop == "time",
        oom=oom,
        died=died,
    )
