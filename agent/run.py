"""Where a run lives: its directory, its append-only event log, its lock."""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from reapair.agent.events import LIVE, VERSION, Event, Kind


class RunError(Exception):
    """A run that is not there, is in use, or cannot be written. The message is for people."""


def runs_directory() -> Path:
    """Return the directory that holds all runs: `$XDG_STATE_HOME/agent/runs` or its like."""
    from platformdirs import user_state_path

    return user_state_path("agent") / "runs"


class Run:
    """One run. The event log is the truth; everything else in the directory follows from it.

    Args:
        directory: made with mode 0700 when it is not there.
        run_id: short and unique, as people type it.
    """

    def __init__(self, directory: Path, run_id: str) -> None:
        self.id = run_id
        self.directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _lock(directory / "lock")
            self._log = (directory / "events.jsonl").open("a+b")
        except OSError as error:
            raise RunError(
                f"The run's directory cannot be used: {error}. Free or mend it."
            ) from error
        self._events = list(_recover(self._log))
        self._by_kind: defaultdict[Kind, list[Event]] = defaultdict(list)
        for event in self._events:
            self._by_kind[event.kind].append(event)
        self._listeners: list[Callable[[Event], None]] = []
        # The baseline reports from its own thread.
        self._writing = threading.Lock()

    @classmethod
    def create(cls, root: Path | None = None) -> Run:
        """Start a new run with a fresh id below `root` (default: `runs_directory()`)."""
        run_id = time.strftime("%m%d-") + secrets.token_hex(3)
        return cls((root or runs_directory()) / run_id, run_id)

    @property
    def events(self) -> list[Event]:
        """All stored events, oldest first."""
        return self._events

    def of_kind(self, kind: Kind) -> list[Event]:
        """Return the stored events of one kind, oldest first."""
        return self._by_kind[kind]

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with every event from now on, live ones too."""
        self._listeners.append(listener)

    def append(self, kind: Kind, step: int = 0, /, attempt: int = 1, **data: Any) -> Event:
        """Write one event and tell the listeners. Raises RunError when the disk refuses it."""
        with self._writing:
            live = kind in LIVE
            seq = 0 if live else len(self._events) + 1
            event = Event(VERSION, self.id, seq, time.time(), attempt, step, kind, data)
            if not live:
                self._write(event)
                self._events.append(event)
                self._by_kind[kind].append(event)
        for listener in self._listeners:
            listener(event)
        return event

    def _write(self, event: Event) -> None:
        try:
            self._log.write(event.to_json().encode("ascii") + b"\n")
            self._log.flush()
        except OSError as error:
            raise RunError(f"The event log cannot be written: {error}. Free some disk.") from error

    def sync(self) -> None:
        """Force the log to the disk; once a step is enough (`kill -9` needs no sync at all)."""
        os.fsync(self._log.fileno())

    def close(self) -> None:
        """Let go of the log and the lock."""
        self._log.close()
        self._lock.close()


def _lock(path: Path) -> IO[str]:
    """Take the run for this process; the kernel frees it when the process ends, however it ends."""
    handle = path.open("a")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise RunError(
            f"Run {path.parent.name} is in use by another process. Wait for it, or end it."
        ) from None
    return handle


def read_events(directory: Path) -> list[Event]:
    """Return the whole events of a run without taking it; empty when there is no log."""
    try:
        with (directory / "events.jsonl").open("rb") as log:
            return [event for event, _ in _parse(log)]
    except FileNotFoundError:
        return []


def _recover(log: IO[bytes]) -> Iterator[Event]:
    """Read the log back and cut off a last line that a crash left unfinished."""
    log.seek(0)
    good = 0
    for event, size in _parse(log):
        good += size
        yield event
    log.truncate(good)


def _parse(log: IO[bytes]) -> Iterator[tuple[Event, int]]:
    """Yield events and the bytes of their lines, up to the first that is not whole."""
    for line in log:
        try:
            event = Event.from_json(line.decode("ascii"))
        except (ValueError, TypeError):
            return
        if not line.endswith(b"\n"):
            return
        yield event, len(line)
