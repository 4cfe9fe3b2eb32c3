"""Stopping a run from outside: from a signal handler, or another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopped(Exception):  # noqa: N818  # Nothing has gone wrong.
    """The run was asked to stop. Everything finished is kept; it can be resumed."""


class Cancel:
    """A handle to stop a run: give it to `solve` and call `request`.

    The calls of a step that is being run are finished and recorded first. Everything else is given
    up at once, since nothing is lost by it: an answer under way, a proof, a wait for the server.
    """

    def __init__(self) -> None:
        self.requested = False
        self.in_step = False
        # Reentrant: a signal handler may interrupt the thread that holds it.
        self._lock = threading.RLock()
        self._stoppers: list[Callable[[], None]] = []

    def request(self) -> None:
        """Ask the run to stop; returns at once. A second request changes nothing."""
        with self._lock:
            self.requested = True
            stoppers = [] if self.in_step else list(self._stoppers)
        for stop in stoppers:
            stop()

    def on_request(self, stop: Callable[[], None]) -> None:
        """Call `stop` when a request comes outside a step, to end what waits there."""
        self._stoppers.append(stop)

    def check(self) -> None:
        """Raise Stopped when a request has come."""
        if self.requested:
            raise Stopped

    @contextmanager
    def step(self) -> Iterator[None]:
        """Let what runs in this block come to its end. Raises Stopped if a request was there."""
        with self._lock:
            self.check()
            self.in_step = True
        try:
            yield
        finally:
            self.in_step = False
