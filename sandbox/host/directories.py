"""Private directories in the user's cache, for sandboxes without containers."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reapair.sandbox.containers.labels import orphaned, owner_labels

_OWNER = "owner.json"
_TRIES = 20


def cache() -> Path:
    """Return this program's cache directory; on disk, because memory is for the model."""
    from platformdirs import user_cache_path

    return user_cache_path("agent")


def make_private(run_id: str) -> Path:
    """Make a directory that only this user can enter, labelled with this process."""
    folder = cache() / "sandboxes" / uuid.uuid4().hex[:12]
    folder.mkdir(mode=0o700, parents=True)
    (folder / _OWNER).write_text(json.dumps(owner_labels(run_id)))
    return folder.resolve()  # commands print real paths, which no_sandbox looks for


def sweep() -> None:
    """Remove sandbox directories of this host whose process has exited."""
    for folder in (cache() / "sandboxes").glob("*"):
        try:
            labels = json.loads((folder / _OWNER).read_text())
        except (OSError, ValueError):
            continue
        if orphaned(labels):
            remove_tree(folder)


def remove_tree(folder: Path) -> None:
    """Remove a directory tree, also where a command has removed permissions."""

    def permit(function: Callable[..., Any], path: str, _: object) -> None:
        for place in (os.path.dirname(path), path):
            if not os.path.islink(place) and os.path.isdir(place):
                os.chmod(place, stat.S_IRWXU)
        if function is os.unlink or function is os.rmdir:
            function(path)
        else:
            shutil.rmtree(path, ignore_errors=True)

    for _ in range(_TRIES):
        try:
            shutil.rmtree(folder, onerror=permit)
        except OSError as error:
            # Processes that a killed command started may still write while they end.
            if error.errno != errno.ENOTEMPTY:
                raise
            time.sleep(0.05)
        else:
            return
    shutil.rmtree(folder, ignore_errors=True)


def size(folder: Path) -> int:
    """Return the bytes of disk that a tree uses; files removed meanwhile are skipped."""
    total = 0
    pending = [os.fspath(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return total
