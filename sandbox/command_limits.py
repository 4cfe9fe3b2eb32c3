"""Limits of a running command: its time, and the disk space it uses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal, Self

from reapair.sandbox.base import SandboxError

Stop = Literal["", "time", "size"]
"""Why a command was stopped; empty when it ended by itself."""

_FIRST_LOOK = 2.0
_DISK_RESERVE = 256 * 1024 * 1024


def overfull(used: int, free: int, limit: int) -> bool:
    """Return whether a workspace uses more than `limit` bytes, or the disk is almost full."""
    return used > limit or free < _DISK_RESERVE


class CommandLimits:
    """The limits of one command.

    Args:
        timeout: seconds from now that the command may take.
        overfull: measures the workspace; called in a separate thread, because that takes time, and
            only for commands that run for a while.
    """

    def __init__(self, timeout: float, overfull: Callable[[], bool]) -> None:
        self._begin = time.monotonic()
        self._deadline = self._begin + timeout
        self._overfull = overfull
        self._full = threading.Event()
        self._done = threading.Event()
        self._watching = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def stop(self) -> Stop:
        """Return why the command must stop now; "" when it may go on."""
        now = time.monotonic()
        if self._full.is_set():
            return "size"
        if now >= self._deadline:
            return "time"
        if not self._watching and now - self._begin > _FIRST_LOOK:
            self._watching = True
            threading.Thread(target=self._watch, daemon=True).start()
        return ""

    def left(self, most: float) -> float:
        """Return how many seconds to wait at most before the next call of `stop`."""
        return max(0.0, min(most, self._deadline - time.monotonic()))

    def _watch(self) -> None:
        pause = 0.0
        while not self._done.wait(pause):
            begin = time.monotonic()
            try:
                full = self._overfull()
            except SandboxError:
                return  # It has ended, and with it the command.
            if full:
                self._full.set()
                return
            # Measuring a large tree takes long: spend at most a tenth of the time on it.
            pause = max(_FIRST_LOOK, 10 * (time.monotonic() - begin))
