"""The only way to run git on the host: nothing in a repository can make it run a program."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from reapair.sandbox.base import SandboxError

SAFE_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    # A missing object must not make git ask a promisor remote: its address can be a command.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    # git looks for ~/.config/git/{attributes,ignore} even when there is no global configuration.
    "HOME": "/nonexistent",
    "XDG_CONFIG_HOME": "/nonexistent",
    "LC_ALL": "C",
}
"""Variables with which git reads no configuration but its git directory's."""

_FLAGS = (
    "--no-pager",
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.untrackedCache=false"),
    *("-c", "core.splitIndex=false"),
    *("-c", "submodule.recurse=false"),
    *("-c", "diff.ignoreSubmodules=all"),
    *("-c", "commit.gpgSign=false"),
    *("-c", "gc.auto=0"),
    *("-c", "protocol.allow=never"),
)


class GitError(SandboxError):
    """git failed. `detail` is its error message in one line."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail or message


_deadline: ContextVar[float] = ContextVar("_deadline", default=float("inf"))


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Give all git commands in this block, together, so many seconds."""
    token = _deadline.set(min(_deadline.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


def run_git(
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    cwd: Path,
    stdin: bytes = b"",
    timeout: float = 120.0,
) -> bytes:
    """Run git and return its standard output. Raises GitError.

    Args:
        arguments: flags, a subcommand and its arguments.
        environment: all its variables but PATH; one of them names the git directory.
        cwd: its current directory.
        stdin: its input.
        timeout: in seconds; less where less is left of a `time_limit`.
    """
    timeout = max(min(timeout, _deadline.get() - time.monotonic()), 0.01)
    executable, search_path = _git()
    command = next((word for word in arguments if not word.startswith("-") and "=" not in word), "")
    try:
        process = subprocess.run(
            [executable, *_FLAGS, *arguments],
            env={"PATH": search_path, **environment},
            cwd=cwd,
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise GitError(
            f"git {command} did not end in time ({timeout:.0f} s). Pipes in .git, or in place of "
            ".gitignore and .gitattributes files, hold it up: remove them. Else try again."
        ) from None
    if process.returncode:
        lines = process.stderr.decode("utf-8", "replace").strip().splitlines()
        detail = "; ".join(lines[:3]) or f"exit code {process.returncode}"
        raise GitError(f"git {command} failed: {detail}", detail)
    return process.stdout


@cache
def _git() -> tuple[str, str]:
    """Return git's path and PATH without relative entries: the current directory is hostile."""
    places = [
        p for p in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(p).is_absolute()
    ]
    search_path = os.pathsep.join(places)
    executable = shutil.which("git", path=search_path)
    if executable is None:
        raise GitError("git was not found. Install git (2.30 or newer).")
    return executable, search_path
