"""Store a snapshot: a pack with all its objects, and a JSON file that describes it."""

from __future__ import annotations

import json
from typing import Any

from reapair.sandbox.git.recent_history import History, recent
from reapair.sandbox.git.repository import AGENT, GitStore
from reapair.sandbox.git.staging import Staged
from reapair.sandbox.write_whole import write_whole

_DATE = "946684800 +0000"
SIGNED = {
    **{"GIT_AUTHOR_NAME": AGENT[0], "GIT_AUTHOR_EMAIL": AGENT[1], "GIT_AUTHOR_DATE": _DATE},
    "GIT_COMMITTER_NAME": AGENT[0],
    "GIT_COMMITTER_EMAIL": AGENT[1],
    "GIT_COMMITTER_DATE": _DATE,
}
"""Variables with which a commit depends only on its files and parents."""


def keep(store: GitStore, staged: Staged, head: str | None, *, history: bool) -> str:
    """Write a snapshot into the store's directory; return its name.

    Args:
        head: the commit the files belong to, None before the first one.
        history: store earlier commits too.

    Raises GitError.
    """
    past = None
    if head and history and staged.tree == staged.whole:
        past = recent(store, head)
    dirty = staged.whole != store.tree_of(head) if head else staged.files > 0
    base = _base(store, staged.tree, head if past else None, dirty=dirty)
    name = f"{base}-{staged.extras}" if staged.extras else base
    _write_pack(store, name, [base, staged.extras], past)
    facts: dict[str, Any] = {
        "name": name,
        "tree": staged.tree,
        "base": base,
        "head": head,
        "dirty": dirty,
        "files": staged.files,
        "left_out": staged.left_out,
        "settings": store.conversion,
        "excludes": store.excludes.decode("utf-8", "surrogateescape"),
        "shallow": past.shallow if past else (),
        "tags": "".join(f"{oid} {tag}\n" for oid, tag in past.tags) if past else "",
        "extras": staged.extras,
        "included": [path.decode("utf-8", "surrogateescape") for path in staged.included],
    }
    (store.directory / f"{name}.json").write_text(json.dumps(facts), "utf-8")
    return name


def _base(store: GitStore, tree: str, head: str | None, *, dirty: bool) -> str:
    """Return the commit that holds the tree: a root, `head` itself, or a child of it."""
    if head is None:
        return store.commit_tree(tree, "Initial commit", parent=None, env=SIGNED)
    if not dirty:
        return head
    when = store.git("show", "-s", "--format=%ct +0000", "--no-show-signature", head)
    date = when.decode().strip()
    dated = SIGNED | {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    return store.commit_tree(tree, "Uncommitted changes", parent=head, env=dated)


def _write_pack(store: GitStore, name: str, wanted: list[str], past: History | None) -> None:
    pack = store.directory / f"{name}.pack"
    if pack.exists():
        return
    ends = [f"--shallow {commit}" for commit in past.shallow] if past else []
    tags = [oid for oid, _ in past.tags] if past else []
    revisions = "\n".join([*ends, *filter(None, wanted), *tags, ""])
    # This pack is not kept for long: no time is spent on compression.
    flags = ("--revs", "--stdout", "-q", "--window=0", "--compression=1")
    write_whole(pack, store.git("pack-objects", *flags, stdin=revisions.encode()))
