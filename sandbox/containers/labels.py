"""Labels that name the process that made a container or volume, to know whether it still runs."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

PREFIX = "io.reapair."
HOST = PREFIX + "host"
_BOOT = PREFIX + "boot"
_PID = PREFIX + "pid"


def owner_labels(run_id: str) -> dict[str, str]:
    """Return the labels for what this process makes for a run."""
    return {
        PREFIX + "run": run_id,
        HOST: socket.gethostname(),
        _BOOT: boot_id(),
        _PID: str(os.getpid()),
    }


def orphaned(labels: Mapping[str, str]) -> bool:
    """Return whether these labels name this host and a process that no longer exists."""
    if labels.get(HOST) != socket.gethostname():
        return False
    if labels.get(_BOOT) != boot_id():
        return True
    pid = labels.get(_PID, "")
    return pid.isdigit() and not _alive(int(pid))


def boot_id() -> str:
    """Return an id that changes with each boot of the machine; empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # not Linux: only the process id is compared
        return ""


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
