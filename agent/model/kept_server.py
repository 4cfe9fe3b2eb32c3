"""The model server that `agent serve` keeps: its state file, and whether it still runs.

A process that has ended, or whose number now belongs to another one, counts as none.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_state_path


@dataclass(frozen=True, slots=True)
class Kept:
    """A server that runs: `base_url` ends in /v1, `begun` tells its process from a later one."""

    base_url: str
    api_key: str
    engine: str
    model: str
    context: int
    slots: int
    pid: int
    begun: str
    log: str


def state_file(directory: Path | None = None) -> Path:
    """Return the state file of a directory's server; by default of the user's own."""
    return (directory or user_state_path("agent") / "serve") / "server.json"


def kept_server(directory: Path | None = None) -> Kept | None:
    """Return the server of a directory, by default the user's own, if it is alive."""
    try:
        kept = Kept(**json.loads(state_file(directory).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return kept if began(kept.pid) == kept.begun else None


def began(pid: int) -> str:
    """Return when a process began, as the system counts it; empty when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
        command = ["ps", "-o", "state=,lstart=", "-p", str(pid)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        fields = done.stdout.split()
        return "" if not fields or fields[0].startswith("Z") else " ".join(fields[1:])
    return "" if fields[0] == "Z" else f"{_boot()}:{fields[19]}"


def _boot() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return ""
