"""Select the recent history of a snapshot: what version schemes and `git log` need."""

from __future__ import annotations

from dataclasses import dataclass

from reapair.sandbox.git.repository import GitStore
from reapair.sandbox.git.run_git import GitError

COMMITS = 500
"""Most earlier commits that a snapshot holds."""

BYTES = 32 * 1024 * 1024
"""Most bytes that they add to it; fewer commits are taken where that is too little."""


@dataclass(frozen=True, slots=True)
class History:
    """The newest commits up to one.

    Attributes:
        shallow: the commits whose parents are not among them.
        tags: the tags on them, as (id, full name).
    """

    shallow: tuple[str, ...]
    tags: tuple[tuple[str, str], ...]


def recent(store: GitStore, commit: str) -> History | None:
    """Return the history of a commit within the limits; None where there is none that fits."""
    count = COMMITS
    while count:
        try:
            parents = _parents(store, commit, count)
            outside = {parent for each in parents.values() for parent in each} - parents.keys()
            if _added_bytes(store, commit, outside) <= BYTES:
                cut = [name for name in parents if not outside.isdisjoint(parents[name])]
                known = [name for name in store.shallow if name in parents]
                return History(tuple(dict.fromkeys(cut + known)), _tags(store, parents))
        except GitError:
            return None  # perhaps a partial clone, whose history is elsewhere
        count //= 4
    return None


def _parents(store: GitStore, commit: str, count: int) -> dict[str, list[str]]:
    listing = store.git("rev-list", "--parents", f"--max-count={count}", commit).decode()
    return {name: parents for name, *parents in map(str.split, listing.splitlines())}


def _added_bytes(store: GitStore, commit: str, outside: set[str]) -> int:
    """Return the stored bytes of all objects that are not among the commit's own files."""
    ends = "".join(f"^{name}\n" for name in sorted(outside))
    arguments = ("rev-list", "--objects", "--no-object-names", "--stdin")
    listing = store.git(*arguments, stdin=f"{commit}\n^{commit}^{{tree}}\n{ends}".encode())
    sizes = store.git("cat-file", "--batch-check=%(objectsize:disk)", stdin=listing)
    return sum(map(int, sizes.split()))


def _tags(store: GitStore, commits: dict[str, list[str]]) -> tuple[tuple[str, str], ...]:
    form = "--format=%(objectname) %(*objectname) %(refname)"
    listing = store.repository.git("for-each-ref", form, "refs/tags").decode("utf-8", "replace")
    found = []
    for line in listing.splitlines():
        name, peeled, tag = line.split(" ", 2)
        if (peeled or name) in commits and tag.isprintable() and "\ufffd" not in tag:
            found.append((name, tag))
    return tuple(found)
