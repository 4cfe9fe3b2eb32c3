"""No isolation: a private copy and a cleaned environment, no more. Only on explicit request."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from reapair.sandbox.base import OUTPUT_LIMIT, WORKSPACE, ExecResult
from reapair.sandbox.host.directory_sandbox import ORIGIN, VENV, DirectorySandbox
from reapair.sandbox.limits import HOME, TMP

_MARK = "REAPAIR_SANDBOX"
_PLACES = {WORKSPACE: "testbed", VENV: "venv", HOME: "home", TMP: "tmp"}
_INSIDE = re.compile(rf"(?<![\w.\-/])({'|'.join(_PLACES)})(?![\w\-])")


class NoSandbox(DirectorySandbox):
    """Runs commands on this machine as this user; only their paths look like a sandbox's.

    Processes that a command leaves running are found by a variable in their environment and ended.
    A process that removes the variable escapes.
    """

    kind = "none"

    def begin(self) -> None:
        """Make the copied environment refer to itself instead of where it was made."""
        if self.environment:
            _relocate(self.root, (self.environment / ORIGIN).read_text())

    def exec(
        self,
        command: str | Sequence[str],
        *,
        timeout: float = 60.0,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> ExecResult:
        """Run a command, with real paths in it for a sandbox's and the reverse in its output."""
        root = self.root
        result = super().exec(
            _inside(root, command)
            if isinstance(command, str)
            else [_inside(root, word) for word in command],
            timeout=timeout,
            stdin=stdin,
            env={name: _inside(root, value) for name, value in (env or {}).items()},
            output_limit=output_limit,
        )
        return replace(
            result, stdout=_outside(root, result.stdout), stderr=_outside(root, result.stderr)
        )

    def wrap(self, argv: list[str], env: dict[str, str]) -> tuple[list[str], dict[str, str]]:
        """Return the command unchanged, with the user's PATH and none of their other variables."""
        root = self.root
        path = [str(root / "venv/bin"), f"{sys.prefix}/bin", os.environ.get("PATH", os.defpath)]
        private = {
            "PATH": ":".join(path),
            "TMPDIR": str(root / "tmp"),
            _MARK: self.name,
        }
        return argv, private | env | {"HOME": str(root / "home")}

    def end_leftovers(self) -> None:
        """Kill every process that has this sandbox's variable, until there is none."""
        super().end_leftovers()
        for _ in range(20):
            found = _marked(f"{_MARK}={self.name}".encode())
            if not found:
                return
            for pid in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)


def _inside(root: Path, text: str) -> str:
    return _INSIDE.sub(lambda found: str(root / _PLACES[found[1]]), text)


def _outside(root: Path, output: bytes) -> bytes:
    for place, name in _PLACES.items():
        output = output.replace(os.fsencode(root / name), place.encode())
    return output


def _marked(mark: bytes) -> list[int]:
    found = []
    # Runs after every command, so it avoids pathlib, which is slow.
    processes = os.listdir("/proc") if os.path.isdir("/proc") else []
    for name in filter(str.isdigit, processes):
        with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
            if mark in file.read().split(b"\0"):
                found.append(int(name))
    return found


def _relocate(root: Path, origin: str) -> None:
    """Replace the paths that installers write into a Python environment."""
    venv = root / "venv"
    site = "lib/python*/site-packages"
    for pattern in ("bin/*", f"{site}/*.pth", f"{site}/__editable__*", f"{site}/*.egg-link"):
        for file in venv.glob(pattern):
            if file.is_symlink() or not file.is_file():
                continue
            content = file.read_bytes()
            if origin.encode() in content:
                changed = file.with_name(file.name + ".new")
                changed.write_bytes(content.replace(origin.encode(), os.fsencode(root)))
                shutil.copymode(file, changed)
                changed.replace(file)
