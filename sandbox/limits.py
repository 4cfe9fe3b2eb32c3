"""Resource limits of a sandbox, and the environment variables every command starts with."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of one sandbox.

    `memory`, `tmp` (the size of /tmp), `file` (of any one file) and `disk` (of the workspace) are
    in bytes; `processes` counts threads too; `cpus` may be a fraction and is at most what the
    engine's machine has.
    """

    memory: int = 4 * GIB
    tmp: int = GIB
    file: int = 4 * GIB
    disk: int = 16 * GIB
    processes: int = 512
    cpus: float = 4.0


HOME = "/home/agent"
TMP = "/tmp"  # noqa: S108 - the sandbox's own

SEALED_PROBE = """routes=0
while read -r line; do routes=$((routes + 1)); done </proc/net/route
[ $routes -le 1 ]
"""
"""Script for `sh` that fails when any network is reachable."""

COMMAND_ENVIRONMENT = {
    "HOME": HOME,
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "PYTHONDONTWRITEBYTECODE": "1",
    # The order of sets would make outputs, which the model reads, differ between runs.
    "PYTHONHASHSEED": "0",
}
