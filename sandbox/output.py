"""A command's output in bounded memory: its head and its tail, and how much lay between."""

from __future__ import annotations

from collections.abc import Callable

Listener = Callable[[bytes], None]
"""Is shown the output while a command runs."""


def by_line(show: Callable[[str], None]) -> Listener:
    """Return a listener that passes on whole lines as text, without their line ends."""
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
        listener: is shown everything that comes, also what is not kept.
    """

    def __init__(self, limit: int, listener: Listener | None = None) -> None:
        self._half = max(1, limit // 2)
        self._head = bytearray()
        self._tail = bytearray()
        self._total = 0
        self._listener = listener

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        if self._listener is not None:
            self._listener(data)
        self._total += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data[-self._half :]
        # Cutting only now and then keeps a flood of small pieces linear.
        if len(self._tail) > 4 * self._half:
            del self._tail[: -self._half]

    @property
    def dropped(self) -> int:
        """Bytes left out between head and tail."""
        return max(0, self._total - len(self._head) - self._half)

    @property
    def value(self) -> bytes:
        """Head and tail; where bytes were left out, a line between them says how many."""
        tail = bytes(self._tail[-self._half :])
        if not self.dropped:
            return bytes(self._head) + tail
        return bytes(self._head) + b"\n[%d bytes left out]\n" % self.dropped + tail
