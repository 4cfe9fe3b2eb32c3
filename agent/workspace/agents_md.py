"""AGENTS.md: what a repository says to those who work on it, read as data, bounded, attributed.

The files are those of the snapshot, so that nothing a run does changes what it is told. The one at
the top, and those on the way to the project and to files that the issue names, go into the first
prompt; others are told once, with the first call on a file below them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reapair.agent.log.formats import Asked, ToolResult
from reapair.sandbox import WORKSPACE
from reapair.tools import clip

if TYPE_CHECKING:
    from reapair.agent.log.event_log import Run

FILE = "AGENTS.md"

FIRST_BYTES, LATER_BYTES = 4_000, 1_500
"""What the notes of the first prompt may take together, and those told later each."""

_PATH = re.compile(r"[\w.@+-]+(?:/[\w.@+-]+)+")
_MOST_PATHS, _LONGEST_PATH = 50, 500
_ISSUE_READ = 50_000
_MARK = '<notes file="{}">'


@dataclass(frozen=True, slots=True)
class Note:
    """One file's text."""

    path: str
    text: str


class Guidance:
    """The AGENTS.md files of a snapshot.

    Args:
        git: runs git on the snapshot's objects with these arguments and standard input.
        tree: id of the snapshot's tree.
        project: folder that is worked on, "" for the top.
    """

    def __init__(self, git: Callable[..., bytes], tree: str, project: str) -> None:
        self._git = git
        self._tree = tree
        self._project = project
        self._known: dict[str, str] = {}

    def first(self, issue: str, limit: int = FIRST_BYTES) -> list[Note]:
        """Return the notes for the first prompt, at most so many bytes of them together."""
        paths = _PATH.findall(issue[:_ISSUE_READ])[:_MOST_PATHS]
        short = [path for path in paths if len(path) <= _LONGEST_PATH]
        found = self._find([f"{self._project}/x", *short])
        return [Note(note.path, clip(note.text, limit // len(found))) for note in found]

    def later(self, arguments: dict[str, Any], run: Run) -> str:
        """Return what is to be told with a call; "" where its files have no notes, or old ones."""
        path = arguments.get("path")
        if not isinstance(path, str) or len(path) > _LONGEST_PATH or not path.isprintable():
            return ""
        new = [note for note in self._find([path]) if not _was_told(note, run)]
        return "\n".join(
            f"{_MARK.format(note.path)}\n{clip(note.text, LATER_BYTES)}\n</notes>" for note in new
        )

    def _find(self, paths: Iterable[str]) -> list[Note]:
        """Return the notes on the way to these paths, the outer ones first."""
        wanted = dict.fromkeys(file for path in paths for file in _on_the_way(path))
        self._read([file for file in wanted if file not in self._known])
        return [Note(file, self._known[file]) for file in wanted if self._known[file].strip()]

    def _read(self, files: list[str]) -> None:
        self._known |= dict.fromkeys(files, "")
        listing = self._git("ls-tree", "-z", self._tree, "--", *files) if files else b""
        for row in listing.split(b"\0"):
            facts, _, path = row.partition(b"\t")
            if facts.startswith((b"100644 blob", b"100755 blob")):
                data = self._git("cat-file", "blob", facts.split()[2].decode())
                # Nothing in it may look like its end.
                text = data[: 4 * FIRST_BYTES].decode("utf-8", "replace").strip()
                self._known[path.decode()] = text.replace("</notes", "< /notes")


def _on_the_way(path: str) -> Iterator[str]:
    """Yield where notes for a path may be, the outermost first."""
    path = posixpath.normpath(path.removeprefix(f"{WORKSPACE}/")).lstrip("/")
    folders = path.split("/")[:-1]
    if ".." not in folders:
        for depth in range(len(folders) + 1):
            yield "/".join([*folders[:depth], FILE])


def _was_told(note: Note, run: Run) -> bool:
    mark = _MARK.format(note.path)
    first = (m["content"] for e in run.of_kind("request") for m in e.read(Asked).messages)
    said = (event.read(ToolResult).content for event in run.of_kind("tool_result"))
    return any(mark in text for texts in (first, said) for text in texts)
