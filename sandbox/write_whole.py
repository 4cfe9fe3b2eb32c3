"""Files that are never seen half, whoever reads them and whenever the machine stops."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def write_whole(file: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file wholly or not at all; by default only the user may read it. Raises OSError.

    A link in the file's place, perhaps a stranger's, is replaced and not followed.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}")
    partial.unlink(missing_ok=True)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(os.open(partial, flags, mode), "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        partial.replace(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
