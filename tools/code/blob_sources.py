"""Where the index gets files from: git objects, on the host or inside a sandbox."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from reapair.sandbox.base import Sandbox
from reapair.tools.code.languages import language_of
from reapair.tools.code.parsing import LARGEST
from reapair.tools.files import listing, read_many

MOST_CHANGED = 500
"""Files read one by one, because git has no object of them."""

UNREAD = ""
"""Stands for the blob of a file that is too large to be read."""

_BYTES_AT_ONCE = 8 * 1024 * 1024
_AT_ONCE = 1_000
_LISTING = 64 * 1024 * 1024
_CONTENTS = 32 * 1024 * 1024
_REGULAR = ("100644", "100755", "100664")


class Source(Protocol):
    """Files by path, their content by blob."""

    def blobs(self) -> dict[str, str]:
        """Return the blob of every source file, by path."""

    def contents(self, blobs: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Give the content of those of these blobs that can be had."""


class TreeSource:
    """The files of a git tree of our own.

    Args:
        git: runs git with these arguments and standard input; returns its output.
        tree: id of the tree.
    """

    def __init__(self, git: Callable[..., bytes], tree: str) -> None:
        self._git = git
        self._tree = tree
        self._sizes: dict[str, int] = {}

    def blobs(self) -> dict[str, str]:
        """Return the blob of every source file, by path; UNREAD for what is too large."""
        found = {}
        listing = self._git("ls-tree", "-r", "-l", "-z", self._tree)
        for row in listing.decode("utf-8", "replace").split("\0"):
            facts, _, path = row.partition("\t")
            if facts.startswith(_REGULAR) and language_of(path):
                _, _, blob, size = facts.split()
                self._sizes[blob] = int(size) if size.isdigit() else 0
                found[path] = blob if self._sizes[blob] <= LARGEST else UNREAD
        return found

    def contents(self, blobs: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Give the content of those of these blobs that can be had."""
        wanted: list[str] = []
        size = 0
        for blob in blobs:
            wanted.append(blob)
            size += self._sizes.get(blob, 0)
            if len(wanted) == _AT_ONCE or size > _BYTES_AT_ONCE:
                yield from self._batch(wanted)
                wanted, size = [], 0
        yield from self._batch(wanted)

    def _batch(self, blobs: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        if blobs:
            wanted = "\n".join(blobs) + "\n"
            yield from _split(self._git("cat-file", "--batch", stdin=wanted.encode()))


class SandboxSource:
    """The files of a sandbox's workspace as they are now."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._changed: dict[str, bytes] = {}

    def blobs(self) -> dict[str, str]:
        """Return the blob of every source file, by path; what git has no object of is read."""
        result = self._sandbox.exec(
            "git ls-files -s -z && printf '\\0' && git ls-files -z -m -o --exclude-standard",
            output_limit=_LISTING,
        )
        tracked, _, changed = result.text.partition("\0\0")
        found = {}
        for row in tracked.split("\0") if result.ok else ():
            facts, _, path = row.partition("\t")
            if facts.startswith(_REGULAR) and language_of(path):
                found[path] = facts.split(" ")[1]
        others = changed.split("\0") if result.ok else listing(self._sandbox)
        names = sorted({path for path in others if language_of(path)})
        for path in names:
            found.pop(path, None)
        for path, data in read_many(self._sandbox, names[:MOST_CHANGED]).items():
            if data:
                found[path] = blob_of(data)
                self._changed[found[path]] = data
        return found

    def contents(self, blobs: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Give the content of those of these blobs that can be had."""
        yield from ((blob, self._changed[blob]) for blob in blobs if blob in self._changed)
        wanted = [blob for blob in blobs if blob not in self._changed]
        for begin in range(0, len(wanted), _AT_ONCE):
            yield from self._batch(wanted[begin : begin + _AT_ONCE])

    def _batch(self, blobs: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        result = self._sandbox.exec(
            "git cat-file --batch",
            stdin=("\n".join(blobs) + "\n").encode(),
            output_limit=_CONTENTS,
        )
        if not result.dropped:
            yield from _split(result.stdout)
        elif len(blobs) > 1:
            half = len(blobs) // 2
            yield from self._batch(blobs[:half])
            yield from self._batch(blobs[half:])


def blob_of(data: bytes, like: str = "") -> str:
    """Return the id that git gives this content; `like` is an id of the repository's kind."""
    kind = hashlib.sha256 if len(like) == 64 else hashlib.sha1
    return kind(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _split(output: bytes) -> Iterator[tuple[str, bytes]]:
    """Take the output of `git cat-file --batch` apart."""
    at = 0
    while (end := output.find(b"\n", at)) >= 0:
        blob, _, rest = output[at:end].decode("ascii", "replace").partition(" ")
        kind, _, size = rest.partition(" ")
        at = end + 1
        if size.isdigit():
            length = int(size)
            if kind == "blob":
                yield blob, output[at : at + length]
            at += length + 1
