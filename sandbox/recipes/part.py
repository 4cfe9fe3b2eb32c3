"""What the recipes share: a project to read, and the part of a set-up that each finds."""

from __future__ import annotations

import posixpath
import re
import shlex
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from reapair.sandbox.git.repository import AGENT
from reapair.sandbox.limits import HOME, TMP

MANIFEST_LIMIT = 1024 * 1024
"""Bytes above which a manifest is ignored."""

PROBLEMS = f"{HOME}/.setup-problems"
"""File in which a set-up lists what it could not install but continued without."""

PREAMBLE = f"""log={TMP}/attempt.log; why=
attempt() {{
    what=$1; shift
    printf 'Installing %s.\\n' "$what"
    "$@" > $log 2>&1 && return
    tail -n 40 $log
    printf 'That failed: %s.\\n' "$what"
    why=$(grep -E '(error|Error|ERROR): ' $log | tail -n 3 | cut -c 1-200)
    why=$(set -f; set -- $why; printf %s "$*")
    return 1
}}
problem() {{ printf '%s\\n' "$*${{why:+ ($why)}}" | tee -a {PROBLEMS}; why=; }}
# Tests that make git repositories need an author for their commits.
[ -e ~/.gitconfig ] || printf '[user]\\nname = {AGENT[0]}\\nemail = {AGENT[1]}\\n' > ~/.gitconfig
"""
"""Shell functions for set-ups, for any POSIX shell: users' images may have no bash."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one recipe has found.

    Attributes:
        name: the language or the file, for messages.
        setup: shell lines to run in the project's folder, "" when nothing is to be installed.
        test: command for the whole suite, run there; None for plain pytest.
        reads: paths, from the top of the tree, of the files the set-up depends on.
        notes: messages for the user.
    """

    name: str
    setup: str = ""
    test: str | None = None
    reads: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Project:
    """A folder in a tree of files, all of which are untrusted.

    Args:
        files: content of the tree's regular files by path from its top.
        directory: the folder, "" for the top.
    """

    def __init__(self, files: Mapping[str, bytes], directory: str = "") -> None:
        self.files = files
        self.directory = directory
        self._tables: dict[str, dict[str, Any]] = {}

    @cached_property
    def names(self) -> list[str]:
        """Paths of the folder's files, from the folder."""
        prefix = f"{self.directory}/" if self.directory else ""
        return [path[len(prefix) :] for path in self.files if path.startswith(prefix)]

    def path(self, name: str) -> str:
        """Return a path from the folder as one from the top; it may lead out (`../..`)."""
        return posixpath.normpath(posixpath.join(self.directory, name))

    def has(self, name: str) -> bool:
        """Return whether there is such a regular file."""
        return self.path(name) in self.files

    def text(self, name: str, limit: int = MANIFEST_LIMIT) -> str:
        """Return a file's text; "" when it is missing or larger than `limit` bytes."""
        data = self.files.get(self.path(name), b"")
        return "" if len(data) > limit else data.decode("utf-8", "replace")

    def toml(self, name: str) -> dict[str, Any]:
        """Return a file's table, {} for what is missing or not TOML."""
        if name not in self._tables:
            try:
                self._tables[name] = tomllib.loads(self.text(name))
            except (tomllib.TOMLDecodeError, RecursionError):
                self._tables[name] = {}
        return self._tables[name]

    def present(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the existing ones of these names, as paths from the top."""
        return tuple(self.path(name) for name in names if self.has(name))


def table(value: Any, *keys: str) -> dict[str, Any]:
    """Return the table below these keys, {} where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def strings(value: Any) -> list[str]:
    """Return the strings of a list; [] for anything else."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def stop(message: str) -> str:
    """Return a shell command that prints why the set-up fails, and ends it; needs PREAMBLE."""
    return f"{{ printf '%s\\n' {shlex.quote(message)}\"${{why:+ ($why)}}\"; exit 3; }}"


def inside(path: str) -> bool:
    """Return whether a normalised path is inside the tree."""
    return not path.startswith(("/", "../")) and path != ".." and "\0" not in path


def printable(text: str, limit: int = 80) -> str:
    """Return untrusted text made fit for one line of a message."""
    return re.sub(r"[^\x20-\x7e]", "?", text)[:limit]
