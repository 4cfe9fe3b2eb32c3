"""Real git repositories for tests, peaceful and hostile ones."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

_IDENTITY = {
    **{"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org"},
    **{"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org"},
}


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """Run the machine's git as a user would, without their configuration."""
    return subprocess.run(
        ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder,
        input=stdin,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **_IDENTITY},
        capture_output=True,
        check=True,
    ).stdout


def make_repository(folder: Path, files: dict[str, str] | None = None) -> Path:
    """Make a repository with one commit."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    for name, text in (files or {"a.txt": "one\ntwo\nthree\n", "lib/b.py": "b = 1\n"}).items():
        write(folder / name, text)
    git(folder, "add", "-A", "-f")
    git(folder, "commit", "-qm", "first")
    return folder


def write(file: Path, text: str | bytes, *, executable: bool = False) -> Path:
    """Write a file and its directories."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    if executable:
        file.chmod(0o755)
    return file


HOOKS = (
    *("pre-commit", "post-commit", "prepare-commit-msg", "post-checkout", "post-index-change"),
    *("reference-transaction", "pre-applypatch", "post-applypatch", "fsmonitor-watchman"),
)


def trap(file: Path, canary: Path) -> Path:
    """Write a program that leaves a trace when it is run."""
    return write(file, f"#!/bin/sh\necho {file.name} >> '{canary}'\ncat\n", executable=True)


def set_hooks(repository: Path, canary: Path) -> None:
    for name in HOOKS:
        trap(repository / ".git/hooks" / name, canary)


def _configure(repository: Path, key: str, value: str) -> None:
    git(repository, "config", "--file", str(repository / ".git/config"), key, value)


def _fsmonitor(repository: Path, canary: Path) -> None:
    _configure(repository, "core.fsmonitor", str(trap(repository / ".git/x", canary)))


def _filter(repository: Path, canary: Path) -> None:
    command = str(trap(repository / ".git/x", canary))
    for step in ("clean", "smudge", "process"):
        _configure(repository, f"filter.e.{step}", command)
    write(repository / ".gitattributes", "*.txt filter=e\n")


def _textconv(repository: Path, canary: Path) -> None:
    _configure(repository, "diff.e.textconv", str(trap(repository / ".git/x", canary)))
    _configure(repository, "diff.e.command", str(repository / ".git/x"))
    write(repository / ".gitattributes", "*.txt diff=e\n")


def _external_diff(repository: Path, canary: Path) -> None:
    _configure(repository, "diff.external", str(trap(repository / ".git/x", canary)))


def _hooks_path(repository: Path, canary: Path) -> None:
    for name in HOOKS:
        trap(repository / "hooks" / name, canary)
    _configure(repository, "core.hooksPath", str(repository / "hooks"))


def _signing(repository: Path, canary: Path) -> None:
    _configure(repository, "gpg.program", str(trap(repository / ".git/x", canary)))
    _configure(repository, "commit.gpgSign", "true")


def _submodule(repository: Path, canary: Path) -> None:
    nested = make_repository(repository / "nested")
    git(repository, "add", "nested")
    git(repository, "commit", "-qm", "nested")
    _fsmonitor(nested, canary)
    set_hooks(nested, canary)
    write(nested / "a.txt", "changed\n")


def _replaced_git_file(repository: Path, canary: Path) -> None:
    evil = repository / "evil"
    (repository / ".git").rename(evil)
    write(repository / ".git", f"gitdir: {evil}\n")
    git(repository, "config", "core.fsmonitor", str(trap(evil / "x", canary)))


VECTORS: dict[str, Callable[[Path, Path], None]] = {
    "core.fsmonitor": _fsmonitor,
    "filter": _filter,
    "textconv": _textconv,
    "diff.external": _external_diff,
    "hooks": set_hooks,
    "core.hooksPath": _hooks_path,
    "gpg.program": _signing,
    "submodule": _submodule,
    "replaced .git": _replaced_git_file,
}
"""What a repository can do to a host that runs git in it; each leaves its trace in the canary."""
