"""Where the small state of a run's graph is kept between two steps."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langgraph.checkpoint.sqlite import SqliteSaver

_LATEST_ONLY = """
CREATE TRIGGER IF NOT EXISTS latest_only AFTER INSERT ON checkpoints BEGIN
    DELETE FROM checkpoints WHERE checkpoint_id < NEW.checkpoint_id;
    DELETE FROM writes WHERE checkpoint_id < NEW.checkpoint_id;
END
"""
"""A run goes on from its last checkpoint and its log; earlier ones would only fill the disk."""


def checkpointer_in(file: Path) -> SqliteSaver:
    """Return what keeps a graph's state in a file; the caller closes its connection."""
    from langgraph.checkpoint.sqlite import SqliteSaver

    connection = sqlite3.connect(file, check_same_thread=False)
    # Survives kill -9; the event log is the truth after a power failure.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    saver = SqliteSaver(connection)
    saver.setup()
    connection.execute(_LATEST_ONLY)
    return saver
