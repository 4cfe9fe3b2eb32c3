"""A snapshot's files, read from git's objects: no link is followed, no pipe is opened."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from reapair.sandbox.git.repository import GitStore
from reapair.sandbox.git.run_git import GitError

FILE_LIMIT = 16 * 1024 * 1024
"""Bytes above which a file is ignored."""

_TOGETHER = 32 * 1024 * 1024
_ALIKE = re.compile(
    r"(^|/)(setup\.(py|cfg)|tox\.ini|pytest\.ini|Pipfile|PKG-INFO|go\.(mod|sum)|mvnw|pom\.xml"
    r"|[\w.-]*requirements[\w.-]*|requirements/[\w.-]+\.txt|[\w.-]+\.(toml|lock|gradle|gradle\.kts)"
    r"|(package|package-lock|npm-shrinkwrap|\.?devcontainer)\.json|pnpm-[\w-]+\.yaml)$"
)
_LINK, _REGULAR = "120000", ("100644", "100755")


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    object: str
    size: int


class SnapshotFiles(Mapping[str, bytes]):
    """The regular files of a tree, by path; those that look like manifests are read at once.

    Args:
        store: holds the objects.
        tree: id of the tree.
    """

    def __init__(self, store: GitStore, tree: str) -> None:
        self._store = store
        self._all = dict(_entries(store.git("ls-tree", "-r", "-z", "-l", tree)))
        self._regular = {
            path: entry
            for path, entry in self._all.items()
            if entry.mode in _REGULAR and entry.size <= FILE_LIMIT
        }
        self._known = self._read(self._manifests())

    def __getitem__(self, path: str) -> bytes:
        """Return a file's content. Raises KeyError."""
        identity = self._regular[path].object
        if identity not in self._known:
            self._known |= self._read([identity])
        return self._known[identity]

    def __iter__(self) -> Iterator[str]:
        return iter(self._regular)

    def __len__(self) -> int:
        return len(self._regular)

    def fetch(self, paths: Iterable[str]) -> None:
        """Read several files at once, which is quicker than one by one."""
        wanted = (self._regular[path].object for path in paths)
        self._known |= self._read(name for name in wanted if name not in self._known)

    def last_tag(self) -> str:
        """Return the tag nearest to HEAD in the user's repository, "" when there is none."""
        try:
            return self._store.repository.git("describe", "--tags", "--abbrev=0").decode().strip()
        except (GitError, UnicodeDecodeError):
            return ""

    def archive(self, directory: str, limit: int) -> bytes:
        """Return a folder as a tar archive, links as links.

        Raises ValueError when its files have more than `limit` bytes together.
        """
        prefix = f"{directory}/" if directory else ""
        wanted = {path: entry for path, entry in self._all.items() if path.startswith(prefix)}
        if sum(entry.size for entry in wanted.values()) > limit:
            raise ValueError(f"{directory or 'the repository'} is larger than {limit} bytes")
        content = self._read(entry.object for entry in wanted.values() if entry.size >= 0)
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path, entry in sorted(wanted.items()):
                info = tarfile.TarInfo(path[len(prefix) :])
                data = content.get(entry.object, b"")
                if entry.mode == _LINK:
                    info.type, info.linkname = tarfile.SYMTYPE, data.decode("utf-8", "replace")
                    tar.addfile(info)
                elif entry.mode in _REGULAR:
                    info.size, info.mode = len(data), 0o755 if entry.mode == "100755" else 0o644
                    tar.addfile(info, io.BytesIO(data))
        return archive.getvalue()

    def _manifests(self) -> Iterator[str]:
        total = 0
        for path, entry in self._regular.items():
            if _ALIKE.search(path) and total + entry.size <= _TOGETHER:
                total += entry.size
                yield entry.object

    def _read(self, objects: Iterable[str]) -> dict[str, bytes]:
        names = list(dict.fromkeys(objects))
        if not names:
            return {}
        output = self._store.git("cat-file", "--batch", stdin="\n".join(names).encode() + b"\n")
        found, position = {}, 0
        for name in names:
            end = output.index(b"\n", position)
            size = int(output[position:end].rpartition(b" ")[2])
            found[name] = output[end + 1 : end + 1 + size]
            position = end + size + 2
        return found


def _entries(listing: bytes) -> Iterator[tuple[str, _Entry]]:
    for line in listing.split(b"\0"):
        facts, _, path = line.partition(b"\t")
        words = facts.decode().split()
        if len(words) == 4:
            size = int(words[3]) if words[3].isdigit() else -1
            yield path.decode("utf-8", "surrogateescape"), _Entry(words[0], words[2], size)
