"""An interactive shell in a running sandbox."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from reapair.sandbox.base import WORKSPACE, Sandbox, SandboxError
from reapair.sandbox.containers.docker import DockerSandbox
from reapair.sandbox.containers.docker_exec import USER
from reapair.sandbox.host.directory_sandbox import DirectorySandbox
from reapair.sandbox.limits import COMMAND_ENVIRONMENT


def open_shell(sandbox: Sandbox) -> int:
    """Run an interactive shell in the sandbox on this terminal; return its exit code.

    Nothing else may run in the sandbox meanwhile. Raises SandboxError where the container engine's
    command line is not installed.
    """
    terminal = os.environ.get("TERM", "dumb")
    if isinstance(sandbox, DockerSandbox):
        program = shutil.which(sandbox.kind)
        if program is None:
            raise SandboxError(
                f"A shell needs the command `{sandbox.kind}`, which is not installed here."
            )
        tty = ["--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else []
        flags = ["--interactive", *tty, "--user", USER, "--workdir", WORKSPACE]
        shell = "if command -v bash >/dev/null; then exec bash; else exec sh; fi"
        call = ["exec", *flags, "--env", f"TERM={terminal}", sandbox.container]
        return subprocess.run([program, *call, "sh", "-c", shell], check=False).returncode
    if isinstance(sandbox, DirectorySandbox):
        command, variables = sandbox.wrap(["bash"], {**COMMAND_ENVIRONMENT, "TERM": terminal})
        folder = sandbox.root / "testbed"
        return subprocess.run(command, env=variables, cwd=folder, check=False).returncode
    raise SandboxError(f"There is no shell for a sandbox of the kind {sandbox.kind}.")
