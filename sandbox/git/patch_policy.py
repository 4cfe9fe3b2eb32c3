"""Rules that a patch must keep, checked on its bytes before anything is changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from reapair.sandbox.git.patch_parser import GITLINK, SYMLINK, FileDiff, printable

SIZE_LIMIT = 5 * 1024 * 1024
"""Most bytes of a patch."""

Rule = Literal[
    "size",
    "path_escape",
    "git_dir",
    "link_escape",
    "gitlink",
    "gitmodules",
    "gitattributes",
    "workflow",
]


class Violation(NamedTuple):
    """A broken rule, the printable path that breaks it, and a message for people."""

    rule: Rule
    path: str
    message: str


# Characters that HFS+ leaves out of names: `.g<U+200C>it` is `.git` there.
_HFS_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
# NTFS's short names of the three files, as git makes them out.
_GIT_DIR = re.compile(r"\.git|git~\d+")
_GITMODULES = re.compile(r"\.gitmodules|gitmod~\d+|gi7eba~\d+")
_GITATTRIBUTES = re.compile(r"\.gitattributes|gitatt~\d+|gi7d29~\d+")
_DRIVE = re.compile(r"[a-z]:", re.IGNORECASE)

_WORKFLOWS = (
    (".github", "workflows"),
    (".github", "actions"),
    (".gitlab-ci.yml",),
)


def violations_of(file: FileDiff) -> Iterator[Violation]:
    """Yield the rules that one file's part of a patch breaks."""
    for reading in sorted(file.readings):
        yield from check_path(reading)
    path = printable(file.new or file.old or min(file.readings))
    if GITLINK in file.types:
        yield Violation("gitlink", path, f"{path} is a submodule; its commit cannot be checked.")
    target = b"\n".join(file.content)
    removed = file.new is None and not file.binary and not target
    if SYMLINK in file.types and not removed:
        if file.binary or not target:
            yield Violation("link_escape", path, f"{path} is a link whose target is not shown.")
        elif any(link_escapes(reading, target) for reading in file.readings):
            message = f"{path} is a link out of the work tree: {printable(target)}"
            yield Violation("link_escape", path, message)


def check_path(path: bytes) -> Iterator[Violation]:
    """Yield the rules that the path alone breaks."""
    text = printable(path)
    names = _names(path)
    if path.startswith((b"/", b"\\")) or _DRIVE.match(text) or ".." in names or b"\0" in path:
        yield Violation("path_escape", text, f"{text} leaves the work tree.")
    if any(_GIT_DIR.fullmatch(name) for name in names):
        yield Violation("git_dir", text, f"{text} lies in a git directory.")
    if names and _GITMODULES.fullmatch(names[0]):
        yield Violation("gitmodules", text, f"{text} tells git where submodules come from.")
    if names and _GITATTRIBUTES.fullmatch(names[-1]):
        yield Violation("gitattributes", text, f"{text} changes what git does with files.")
    if any(tuple(names[: len(start)]) == start for start in _WORKFLOWS) or names == [".github"]:
        yield Violation("workflow", text, f"{text} is run by the forge, with its rights.")


def _names(path: bytes) -> list[str]:
    return [_folded(name) for name in re.split(rb"[/\\]", path) if name not in (b"", b".")]


def _folded(name: bytes) -> str:
    """Return a path component as the most lenient file system compares it."""
    text = _HFS_IGNORED.sub("", name.decode("utf-8", "surrogateescape")).lower()
    if text in ("..", "."):
        return text
    # NTFS ends a name at a colon, and drops blanks and dots at its end.
    stem = text.partition(":")[0]
    bare = stem.rstrip(" .")
    return bare or (".." if stem.rstrip(" ") == ".." else stem)


def link_escapes(link: bytes, target: bytes) -> bool:
    """Return whether a link's target may lie outside the tree, or in its git directory.

    `..` after a name counts as outside: that name may be a link itself.
    """
    depth = len(_names(link)) - 1
    names = _names(target)
    ups = next((at for at, name in enumerate(names) if name != ".."), len(names))
    return (
        target.startswith((b"/", b"\\"))
        or _DRIVE.match(printable(target)) is not None
        or ups > depth
        or ".." in names[ups:]
        or any(_GIT_DIR.fullmatch(name) for name in names)
    )
