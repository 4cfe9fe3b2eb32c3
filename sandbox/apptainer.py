"""Instance images where there is no Docker: Apptainer, the usual engine of compute clusters.

No daemon, no volumes, no labels: each command is a process of ours over a writable directory that
the image was unpacked to once (`apptainer build --sandbox`). It ends with us.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from reapair.sandbox.base import WORKSPACE, SandboxError
from reapair.sandbox.limits import Limits


def build_command(image: str, directory: Path) -> list[str]:
    """Return the call that unpacks an image.

    Args:
        image: a reference as Docker has it, or a file ending in `.sif` or `.tar`.
        directory: what is made of it; must not be there yet.
    """
    if image.endswith(".sif"):
        source = image
    elif image.endswith(".tar"):
        source = f"docker-archive:{image}"
    else:
        source = f"docker://{image}"
    return [_program(), "build", "--sandbox", "--fix-perms", str(directory), source]


def exec_command(
    directory: Path, argv: list[str], environment: Mapping[str, str], limits: Limits
) -> list[str]:
    """Return the call that runs a command in an unpacked image, sealed off.

    Args:
        directory: the unpacked image, which the command may write to.
        argv: the command and its arguments.
        environment: all of its variables; none of ours get in.
        limits: of memory, processes and processors; they need cgroups v2 where not run as root.
    """
    variables = [part for pair in environment.items() for part in ("--env", "=".join(pair))]
    return [
        _program(),
        "--silent",
        "exec",
        # Own processes, IPC and temporary files; nothing of the host's home, no devices.
        *("--containall", "--no-home", "--no-mount", "hostfs,bind-paths", "--cleanenv"),
        *("--no-privs", "--no-init", "--hostname", "sandbox"),
        # A network of its own with nothing in it but loopback.
        *("--net", "--network", "none"),
        # Root as the image has it, in a user namespace: on the host it stays the user.
        *("--fakeroot", "--writable", "--pwd", WORKSPACE),
        *("--memory", str(limits.memory), "--pids-limit", str(limits.processes)),
        *("--cpus", f"{limits.cpus:g}"),
        *variables,
        str(directory),
        *argv,
    ]


def _program() -> str:
    """Return what is installed: Apptainer, or Singularity under its former name."""
    for name in ("apptainer", "singularity"):
        if shutil.which(name):
            return name
    raise SandboxError("Neither apptainer nor singularity is installed here.")
