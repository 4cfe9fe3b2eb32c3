"""The base of sandboxes without containers: private directories and processes of the host."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from reapair.sandbox.base import OUTPUT_LIMIT, ExecResult, Sandbox, SandboxError
from reapair.sandbox.command_limits import CommandLimits, overfull
from reapair.sandbox.containers.prune import outdated
from reapair.sandbox.environment import Engine, Environment, environment_key, install
from reapair.sandbox.host import directories
from reapair.sandbox.host.cgroup import ControlGroup, control_group
from reapair.sandbox.host.process import Job, run
from reapair.sandbox.limits import COMMAND_ENVIRONMENT, SEALED_PROBE, TMP, Limits
from reapair.sandbox.output import HeadTail, Listener, by_line, result, unusable

VENV = "/opt/venv"
"""Path of the repository's Python environment inside a sandbox."""

KEPT = ("testbed", "home", "venv")
"""The directories that an environment consists of, after the set-up command."""

ORIGIN = "origin"
"""File of an environment that holds the path of the directory it was made in."""

_ENTER = 'for group in {folders}; do echo $$ > "$group"; done; exec "$@"'


class DirectorySandbox(Sandbox):
    """A private directory of the host, and a process of the host for each command.

    Args:
        run_id: goes into the directory's labels.
        environment: directory with a prepared environment.
        setup: True for the phase that installs dependencies, with network.
        listener: called with all output while a command runs.
    """

    copied: ClassVar[tuple[str, ...]] = KEPT
    """Directories of the environment that each sandbox copies, because commands may write there."""

    def __init__(
        self,
        run_id: str,
        environment: Path | None = None,
        *,
        limits: Limits | None = None,
        setup: bool = False,
        listener: Listener | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.setup = setup
        self.environment = environment
        self.name = ""
        self._run_id = run_id
        self._listener = listener
        self._root: Path | None = None
        self._group: ControlGroup | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = threading.Lock()

    @property
    def root(self) -> Path:
        """The private directory. Raises SandboxError before `start` and after `close`."""
        if self._root is None:
            raise SandboxError("The sandbox is not running.")
        return self._root

    @abstractmethod
    def wrap(self, argv: list[str], env: dict[str, str]) -> tuple[list[str], dict[str, str]]:
        """Return the command line and environment on the host for a command inside."""

    def host_address(self) -> str | None:
        """Return loopback: the set-up shares the host's network."""
        return "127.0.0.1" if self.setup else None

    def begin(self) -> None:
        """Prepare what a kind of sandbox needs beside its directories."""

    def end_leftovers(self) -> None:
        """End the processes that the last command left running."""
        if self._group is not None:
            self._group.kill()

    def start(self) -> None:
        """Make the directories and copy the environment into them. Raises SandboxError."""
        try:
            self._root = directories.make_private(self._run_id)
            self.name = self._root.name
            (self._root / "tmp").mkdir()
            for name in KEPT:
                if self.environment and (name in self.copied or self.setup):
                    shutil.copytree(self.environment / name, self._root / name, symlinks=True)
                else:
                    (self._root / name).mkdir()
            self._group = control_group(self.limits)
            self.begin()
            sealed = self.kind != "none" and not self.setup
            works = self.exec(["/bin/sh", "-c", SEALED_PROBE if sealed else "exit 0"])
        except OSError as error:
            self.close()
            raise SandboxError(f"{self.kind} could not make a sandbox: {error}") from error
        if not works.ok:
            self.close()
            words = works.stderr.decode("utf-8", "replace").strip() or "there is a network"
            raise SandboxError(f"{self.kind} could not start a command: {words}")

    def exec(
        self,
        command: str | Sequence[str],
        *,
        timeout: float = 60.0,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> ExecResult:
        """Run a command; see `Sandbox.exec`."""
        argv = ["bash", "-c", command] if isinstance(command, str) else list(command)
        if problem := unusable(argv, env or {}):
            return problem
        stdout = HeadTail(output_limit, self._listener)
        stderr = HeadTail(output_limit, self._listener)
        wrapped, variables = self.wrap(argv, {**COMMAND_ENVIRONMENT, **(env or {})})
        before = self._oom_kills()
        job = Job(
            self._entering_group(wrapped),
            variables,
            self.root / "testbed",
            stdin,
            (stdout, stderr),
            self._set_process,
            self.end_leftovers,
        )
        try:
            with CommandLimits(timeout, self._overfull) as limits:
                ending = run(job, limits)
        except OSError as error:
            raise SandboxError(f"{self.kind} could not run a command: {error}") from error
        return result(
            None if self._root is None else ending.exit_code,
            (stdout, stderr),
            stop=ending.stop,
            oom=self._oom_kills() > before,
            died=self._root is None,
        )

    def close(self) -> None:
        """End what still runs, also in another thread, and remove the private directory."""
        self.closed = True
        with self._closing:
            root, self._root = self._root, None
        if root is None:
            return
        if self._process is not None:
            self._process.kill()
        self.end_leftovers()
        if self._group is not None:
            self._group.remove()
        directories.remove_tree(root)

    def _set_process(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def _overfull(self) -> bool:
        root = self.root
        return overfull(directories.size(root), shutil.disk_usage(root).free, self.limits.disk)

    def _oom_kills(self) -> int:
        return self._group.oom_kills() if self._group else 0

    def _entering_group(self, argv: list[str]) -> list[str]:
        if self._group is None:
            return argv
        folders = " ".join(f"{folder}/cgroup.procs" for folder in self._group.folders)
        return ["/bin/sh", "-c", _ENTER.format(folders=folders), "sh", *argv]


class DirectoryEngine(Engine):
    """Makes sandboxes of one class; their environments are directories in the user's cache."""

    def __init__(self, sandbox: type[DirectorySandbox]) -> None:
        self.kind = sandbox.kind
        self._make = sandbox

    def check(self) -> None:
        """Run `true`."""
        with self._make("check") as sandbox:
            if not sandbox.exec(["true"]).ok:
                raise SandboxError("no command runs in it.")

    def prepare(
        self,
        key: bytes,
        setup_command: str | None,
        fill: Callable[[Sandbox], None],
        on_output: Callable[[str], None],
    ) -> Environment:
        """Keep the directories in which the set-up command ran; see `Engine.prepare`."""
        if not setup_command:
            return Environment("")
        kept = self._place(setup_command, key)
        if kept.is_dir():
            os.utime(kept)  # so that the sweep sees it is in use
            return Environment(str(kept), reused=True)
        python = self._empty_python()
        if python is None:
            on_output("No Python environment could be made; continuing without one.")
        listener = by_line(on_output)
        with self._make("setup", python, setup=True, listener=listener) as sandbox:
            install(sandbox, setup_command, fill, TMP)
            self._keep(sandbox.root, kept)
        return Environment(str(kept))

    def _place(self, command: str, key: bytes) -> Path:
        name = environment_key(f"{self.kind} {sys.prefix} {sys.version}", command, key)
        return directories.cache() / "environments" / name

    def _empty_python(self) -> Path | None:
        """Return a Python environment with only pip; kept, because making one is slow."""
        command = ["python3", "-m", "venv", VENV]
        kept = self._place(" ".join(command), b"")
        if not kept.is_dir():
            with self._make("setup", setup=True) as sandbox:
                if not sandbox.exec(command, timeout=300).ok:
                    return None
                self._keep(sandbox.root, kept)
        return kept

    def _keep(self, root: Path, kept: Path) -> None:
        """Move the result into the cache in one step, so that no other run sees half of it."""
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_name(f"{kept.name}.{os.getpid()}")
        partial.mkdir()
        for name in KEPT:
            (root / name).rename(partial / name)
        (partial / ORIGIN).write_text(str(root))
        try:
            partial.rename(kept)
        except OSError:  # another run has made it meanwhile
            directories.remove_tree(partial)

    def sandbox(self, environment: Environment, run_id: str) -> Sandbox:
        """Return a sandbox with this environment, not started."""
        reference = environment.reference
        return self._make(run_id, Path(reference) if reference else None)

    def sweep(self) -> None:
        """Remove directories whose process has exited, and environments not used recently."""
        directories.sweep()
        kept = (directories.cache() / "environments").glob("*")
        with contextlib.suppress(FileNotFoundError):  # another process sweeps at the same time
            for old in outdated({str(place): place.stat().st_mtime for place in kept}):
                directories.remove_tree(Path(old))

    def caveats(self) -> list[str]:
        """Return a warning where only single processes can be limited, or none."""
        group = control_group(Limits())
        if group is None:
            what = "nothing" if self.kind == "none" else "only each single process"
            return [
                f"No control group can be made here: {what} is limited in memory. "
                "As root, or in a systemd session, all processes are limited together."
            ]
        group.remove()
        return []
