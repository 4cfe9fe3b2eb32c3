"""A Linux control group limits memory and processes of a whole sandbox, where permitted."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from pathlib import Path

from reapair.sandbox.limits import Limits

_ROOT = Path("/sys/fs/cgroup")


class ControlGroup:
    """A group's directories: one of cgroup v2, or those of `pids` and `memory` of v1."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders

    def oom_kills(self) -> int:
        """Return how many processes of the group the kernel has killed for memory."""
        total = 0
        for folder in self.folders:
            for name in ("memory.events", "memory.oom_control"):
                with contextlib.suppress(OSError):
                    words = (folder / name).read_text().split()
                    total += int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0
        return total

    def kill(self) -> None:
        """Kill every process of the group, also those just being forked."""
        for _ in range(50):
            members = {pid for folder in self.folders for pid in _members(folder)}
            if not members:
                return
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            time.sleep(0.01)

    def remove(self) -> None:
        """Kill the remaining processes and remove the group."""
        self.kill()
        for folder in self.folders:
            with contextlib.suppress(OSError):
                folder.rmdir()


def control_group(limits: Limits) -> ControlGroup | None:
    """Return a new group with these limits; None where the user or the kernel cannot make one."""
    name = f"reapair-{uuid.uuid4().hex[:12]}"
    group = ControlGroup([parent / name for parent in _parents()])
    settings = {
        "pids.max": limits.processes,
        "memory.max": limits.memory,
        "memory.swap.max": 0,
        "memory.limit_in_bytes": limits.memory,
    }
    bounded = set()
    try:
        for folder in group.folders:
            folder.mkdir()
            for setting, value in settings.items():
                if (folder / setting).exists():
                    (folder / setting).write_text(str(value))
                    bounded.add(setting.partition(".")[0])
    except OSError:
        bounded.clear()
    if bounded == {"memory", "pids"}:
        return group
    group.remove()  # with only one of the controllers it would be no real limit
    return None


def _parents() -> list[Path]:
    if (_ROOT / "cgroup.controllers").exists():
        # Beside our own group: a group with processes may not have children with limits.
        own = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2].lstrip("/")
        return [(_ROOT / own).parent if own else _ROOT]
    return [
        _ROOT / controller for controller in ("pids", "memory") if (_ROOT / controller).is_dir()
    ]


def _members(folder: Path) -> list[int]:
    try:
        return [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []
