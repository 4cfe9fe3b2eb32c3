"""Where a run lives: its directory, its append-only event log, its lock."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO, FileIO
from pathlib import Path
from typing import IO, Any

from reapair.agent.log.events import LIVE, VERSION, Event, FormatError, Kind
from reapair.sandbox.secrets import Redaction
from reapair.sandbox.write_whole import write_whole

LOCK_SECONDS = 2.0
"""How long a lock may be held by a command that a killed process was just about to start."""


class RunError(Exception):
    """A run that is not there, is in use, or cannot be written. The message is for people."""


_LONGEST_SECRET = 16_384  # in any of its forms


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
        # An attempt's id is that of its run, a dot and its number.
        self.attempt = int(run_id.partition(".")[2] or 1)
        self.directory = directory
        try:
            make_private(directory)
            self._lock = _lock(directory / "lock")
            self._log = _open_private(directory / "events.jsonl", "a+b")
        except OSError as error:
            raise RunError(
                f"The run's directory cannot be used: {error}. Free or mend it."
            ) from error
        try:
            self._events = list(_recover(self._log, directory.name))
        except RunError:
            self.close()
            raise
        self._by_kind: defaultdict[Kind, list[Event]] = defaultdict(list)
        for event in self._events:
            self._by_kind[event.kind].append(event)
        self._listeners: list[Callable[[Event], None]] = []
        self._redaction = Redaction()
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

    def hide(self, secrets: Iterable[str]) -> None:
        """Keep these texts out of everything that is written or told from now on."""
        self._redaction.add(secrets)

    def redacted(self, text: str) -> str:
        """Return a text without what `hide` was told."""
        return self._redaction.text(text)

    def shortened(self, text: str, limit: int) -> str:
        """Return a text redacted, of which no more than about `limit` characters are looked at.

        Of a secret that the cut goes through, the rest would not be known: it is left out.
        """
        if len(text) <= limit + _LONGEST_SECRET:
            return self.redacted(text)
        start = self.redacted(text[: limit + _LONGEST_SECRET])[:-_LONGEST_SECRET]
        return f"{start}… ({len(text):,} characters)"

    def append(self, kind: Kind, step: int = 0, /, **data: Any) -> Event:
        """Write one event and tell the listeners. Raises RunError when the disk refuses it."""
        data = self._redaction.value(data)
        with self._writing:
            live = kind in LIVE
            seq = 0 if live else len(self._events) + 1
            event = Event(VERSION, self.id, seq, time.time(), self.attempt, step, kind, data)
            if not live:
                self._write(event)
                self._events.append(event)
                self._by_kind[kind].append(event)
        for listener in self._listeners:
            listener(event)
        return event

    def _write(self, event: Event) -> None:
        line = memoryview(event.to_json().encode("ascii") + b"\n")
        size = os.fstat(self._log.fileno()).st_size
        try:
            while line:
                line = line[self._log.write(line) :]
        except OSError as error:
            # What is half written must not stand in front of what comes after a resume.
            os.ftruncate(self._log.fileno(), size)
            raise RunError(f"The event log cannot be written: {error}. Free some disk.") from error

    def write(self, name: str, data: bytes) -> Path:
        """Write a file below the run's directory, wholly or not at all. Raises RunError."""
        file = self.directory / name
        try:
            make_private(file.parent)
            write_whole(file, data)
        except OSError as error:
            raise RunError(f"{file} cannot be written: {error}. Free some disk.") from error
        return file

    def private_file(self, name: str) -> Path:
        """Return a file of the run's that only the user can read; made empty if it is not there."""
        file = self.directory / name
        try:
            _open_private(file, "ab").close()
        except OSError as error:
            raise RunError(f"{file} cannot be written: {error}. Free some disk.") from error
        return file

    def sync(self) -> None:
        """Force the log to the disk; once a step is enough (`kill -9` needs no sync at all)."""
        os.fsync(self._log.fileno())

    def close(self) -> None:
        """Let go of the log and the lock."""
        self._log.close()
        self._lock.close()


def digest(patch: bytes) -> str:
    """Return what tells one patch from another in the log."""
    return hashlib.sha256(patch).hexdigest()


def remove(directory: Path) -> None:
    """Remove a run and its attempts."""
    for each in (*directory.parent.glob(f"{directory.name}.*"), directory):
        # A thread of the run may still write its last file.
        shutil.rmtree(each, ignore_errors=True)


def make_private(directory: Path) -> None:
    """Make a directory, if it is not there, that only the user may enter. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)


def _open_private(path: Path, mode: str) -> FileIO:
    """Open a file without a buffer; only the user may read it, whatever the umask."""
    handle = FileIO(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600))
    os.fchmod(handle.fileno(), 0o600)
    return handle


def _lock(path: Path) -> FileIO:
    """Take the run for this process; the kernel frees it when the process ends, however it ends."""
    handle = _open_private(path, "a")
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            handle.close()
            raise RunError(
                f"Run {path.parent.name} is in use by another process. Wait for it, or end it."
            ) from None
        return handle


def read_events(directory: Path) -> list[Event]:
    """Return the whole events of a run without taking it; empty when there is no log.

    Raises RunError for a log that is damaged or of a later version.
    """
    try:
        with (directory / "events.jsonl").open("rb") as log:
            return [event for event, _ in _parse(log, directory.name)]
    except FileNotFoundError:
        return []


def _recover(log: FileIO, run_id: str) -> Iterator[Event]:
    """Read the log back and cut off a last line that a crash left unfinished."""
    log.seek(0)
    good = 0
    for event, size in _parse(BytesIO(log.readall()), run_id):
        good += size
        yield event
    log.truncate(good)


def _parse(log: IO[bytes], run_id: str) -> Iterator[tuple[Event, int]]:
    """Yield events and the bytes of their lines, up to a last one that is not whole."""
    for number, line in enumerate(log, 1):
        try:
            event = Event.from_json(line.decode("ascii"))
        except (ValueError, TypeError):
            if log.read().strip(b"\0"):
                raise RunError(
                    f"The log of run {run_id} is damaged: line {number} of events.jsonl is no "
                    "event. Take the line and all after it away to go on from there."
                ) from None
            return
        except FormatError as error:
            raise RunError(f"Line {number} of the log of run {run_id} {error}") from None
        if not line.endswith(b"\n"):
            return
        yield event, len(line)
