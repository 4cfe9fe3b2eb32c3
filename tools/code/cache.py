"""What is known of files by their content, kept on disk for all runs of a user."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

LARGEST = 256 * 1024 * 1024
"""Bytes that the cache may take on disk."""

_AT_ONCE = 500
_TABLE = """
CREATE TABLE IF NOT EXISTS tags (
    blob TEXT, version TEXT, day INTEGER, checksum INTEGER, data BLOB, PRIMARY KEY (blob, version)
)
"""


class Cache:
    """Data by content and version. Whatever is wrong with the disk, it only forgets.

    Args:
        file: default: in the user's cache directory. Several processes may share it.
        largest: bytes it may take; what was not used for longest goes first.
    """

    def __init__(self, file: Path | None = None, *, largest: int = LARGEST) -> None:
        from reapair.sandbox.host.directories import cache

        self._file = file or cache() / "symbols.sqlite"
        self._largest = largest

    def load(self, blobs: Sequence[str], version: str) -> dict[str, bytes]:
        """Return what is kept of these blobs under this version."""
        found: dict[str, bytes] = {}
        today = int(time.time() // 86_400)

        def work(database: sqlite3.Connection) -> None:
            for begin in range(0, len(blobs), _AT_ONCE):
                part = blobs[begin : begin + _AT_ONCE]
                old = self._load(database, part, version, today, found)
                database.executemany(
                    "UPDATE tags SET day = ? WHERE version = ? AND blob = ?",
                    [(today, version, blob) for blob in old],
                )

        self._with_database(work)
        return found

    def save(self, entries: Mapping[str, bytes], version: str) -> None:
        """Keep what is known of these blobs under this version."""
        today = int(time.time() // 86_400)

        def work(database: sqlite3.Connection) -> None:
            database.executemany(
                "INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?, ?)",
                [(blob, version, today, zlib.crc32(data), data) for blob, data in entries.items()],
            )
            self._shrink(database)

        self._with_database(work)

    @staticmethod
    def _load(
        database: sqlite3.Connection,
        blobs: Sequence[str],
        version: str,
        today: int,
        found: dict[str, bytes],
    ) -> list[str]:
        """Add what is sound to `found`; return what was last used on an earlier day."""
        marks = ",".join("?" * len(blobs))
        rows = database.execute(  # only question marks are put in
            f"SELECT blob, day, checksum, data FROM tags WHERE version = ? AND blob IN ({marks})",  # noqa: S608
            (version, *blobs),
        )
        old = []
        for blob, day, checksum, data in rows:
            if isinstance(data, bytes) and zlib.crc32(data) == checksum:
                found[blob] = data
            if day != today:
                old.append(blob)
        return old

    def _shrink(self, database: sqlite3.Connection) -> None:
        def pragma(name: str) -> int:
            return int(database.execute(f"PRAGMA {name}").fetchone()[0])

        pages = pragma("page_count") - pragma("freelist_count")
        if pages * pragma("page_size") > self._largest:
            database.execute(
                "DELETE FROM tags WHERE rowid IN (SELECT rowid FROM tags ORDER BY day, rowid "
                "LIMIT (SELECT COUNT(*) / 2 FROM tags))"
            )

    def _with_database(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Work on the database, or do without it; a broken one is removed."""
        import sqlite3

        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._file, timeout=5)) as database:
                database.execute("PRAGMA synchronous = OFF")
                database.execute(_TABLE)
                with database:
                    work(database)
        except (sqlite3.OperationalError, OSError):
            # Locked for long, no room, not ours to write.
            return
        except sqlite3.DatabaseError:
            self._file.unlink(missing_ok=True)
