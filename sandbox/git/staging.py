"""Choose the files of a snapshot: all that git would add, without secrets."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from reapair.sandbox.git.patch_parser import printable
from reapair.sandbox.git.patch_policy import check_path
from reapair.sandbox.git.repository import GitStore, read_regular
from reapair.sandbox.git.run_git import GitError

UNTRACKED_LIMIT = 50 * 1024 * 1024
"""Bytes above which an untracked file is left out: a snapshot is held in memory."""

TRACKED_LIMIT = 100 * 1024 * 1024
"""Bytes from which a tracked file is left out."""

EXTRAS_LIMIT = 200 * 1024 * 1024
"""Most bytes of all ignored files that the user includes."""

INCLUDE_FILE = ".worktreeinclude"
"""Lists ignored files that a repository's work tree needs, in gitignore's syntax."""

_SECRET_NAMES = (
    *(".env", ".env.*", "*.env", ".envrc", ".netrc", "_netrc", ".pypirc", ".npmrc"),
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.ppk", "*.jks", "*.keystore", "*.kdbx"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".git-credentials", ".htpasswd"),
    *("credentials", "credentials.json", "credentials.y*ml", "client_secret*.json"),
    *("service-account*.json", "service_account*.json", "secret.*", "secrets.*", ".dockercfg"),
    *(".pgpass", ".my.cnf", "*.tfvars", "*.tfstate", "kubeconfig", ".vault-token"),
)
_HARMLESS = re.compile(r"(^|[._-])(example|sample|template|dist|defaults?)([._-]|$)|\.(pub|py)$")
_SECRET_DIRECTORIES = frozenset((".ssh", ".aws", ".gnupg", ".kube", ".azure", ".gcloud"))
_OUTSIDE = re.compile(rb"^/|(^|/)(\.\.|\.git)(/|$)", re.IGNORECASE)
# Their files differ on disk from the repository: they hold large content, or secrets.
_OPAQUE_FILTERS = (b"lfs", b"git-crypt", b"crypt", b"transcrypt")


def looks_secret(path: str) -> bool:
    """Return whether a file may hold a password or a key, judging by its name."""
    *directories, name = path.lower().split("/")
    if not _SECRET_DIRECTORIES.isdisjoint(directories):
        return True
    return not _HARMLESS.search(name) and any(fnmatchcase(name, p) for p in _SECRET_NAMES)


@dataclass(frozen=True, slots=True)
class Staged:
    """The files of a work tree, as git trees.

    Attributes:
        whole: tracked files, and untracked ones that are not ignored.
        tree: the same without files that are too large.
        files: how many that has.
        left_out: printable paths that were left out, each with the reason.
        extras: id of the tree of included ignored files; "" without any.
        included: their paths.
    """

    whole: str
    tree: str
    files: int
    left_out: tuple[str, ...]
    extras: str = ""
    included: tuple[bytes, ...] = ()


def stage(store: GitStore, include: Sequence[str] = ()) -> Staged:
    """Write the work tree's files, as they are on disk, as trees of the store.

    These are tracked files with their present content (without deleted ones), and untracked ones
    that are not ignored. A submodule keeps its recorded commit.

    Args:
        include: patterns as in `.gitignore` for ignored files to take as well; they come after
            those in the work tree's `.worktreeinclude`. A file that looks like a secret is taken
            only if a pattern is its path.

    Raises GitError.
    """
    store.copy_index()
    _refuse_escapes(store)
    reasons = _stage_tracked(store) | _stage_untracked(store)
    included, more = _find_extras(store, include)
    reasons = {path: why for path, why in (reasons | more).items() if path not in included}
    extras = _write_extras(store, included)
    return _written(store, reasons, partial(_size, store.repository.top), extras, tuple(included))


def stage_commit(store: GitStore, commit: str) -> Staged:
    """Write a commit's files as a tree, by the same rules. Raises GitError."""
    store.git("read-tree", commit)
    sizes = store.git("ls-tree", "-r", "-z", "-l", commit).split(b"\0")[:-1]
    entries = (entry.partition(b"\t") for entry in sizes)
    size = {path: facts.split()[3] for facts, _, path in entries}
    return _written(store, {}, lambda path: int(size[path]))


def _written(
    store: GitStore,
    reasons: dict[bytes, str],
    size: Callable[[bytes], int],
    extras: str = "",
    included: tuple[bytes, ...] = (),
) -> Staged:
    """Write the index as a tree, without files that are too large."""
    tree = whole = store.git("write-tree").decode().strip()
    entries = store.git("ls-tree", "-r", "-z", tree).split(b"\0")[:-1]
    large = []
    for entry in entries:
        facts, _, path = entry.partition(b"\t")
        if facts.startswith(b"160000"):
            reasons[path + b"/"] = "submodule"
        elif size(path) >= TRACKED_LIMIT:
            reasons[path] = "too large"
            large.append(path)
    if large:
        store.git("update-index", "-z", "--force-remove", "--stdin", stdin=_listed(large))
        tree = store.git("write-tree").decode().strip()
    left_out = tuple(f"{printable(path)} ({why})" for path, why in sorted(reasons.items()))
    return Staged(whole, tree, len(entries) - len(large), left_out, extras, included)


def _stage_tracked(store: GitStore) -> dict[bytes, str]:
    # Never `add` or `status`: they start git inside submodules, with those' own configuration.
    changes = ("diff-files", "-z", "--name-only", "--ignore-submodules=all")
    deleted = store.git(*changes, "--diff-filter=D")
    store.git("update-index", "-z", "--force-remove", "--stdin", stdin=deleted)
    changed = _paths(store.git(*changes))
    reasons = {path: "no file" for path in changed if _is_special(store.repository.top, path)}
    if reasons:
        store.git("update-index", "-z", "--force-remove", "--stdin", stdin=_listed(reasons))
    kept = _opaque(store, changed)
    taken = _listed(path for path in changed if path not in reasons and path not in kept)
    store.git("update-index", "-z", "--add", "--remove", "--replace", "--stdin", stdin=taken)
    return reasons | kept


def _refuse_escapes(store: GitStore) -> None:
    """Raise GitError when the index names files outside the tree, or in a git directory."""
    for path in _paths(store.git("ls-files", "-z", "--cached")):
        if _OUTSIDE.search(path):
            raise GitError(
                f"The index of the repository names {printable(path)}, which is not in its work "
                "tree. Nothing was read. Rebuild the index: remove .git/index, then `git reset`."
            )


def _opaque(store: GitStore, changed: list[bytes]) -> dict[bytes, str]:
    """Return the files to take from the repository instead, because filters are not run."""
    if not changed:
        return {}
    asked = store.git("check-attr", "-z", "--stdin", "filter", stdin=_listed(changed))
    words = asked.split(b"\0")
    found = zip(words[::3], words[2::3], strict=False)
    return {
        path: f"needs the filter {value.decode()}"
        for path, value in found
        if value in _OPAQUE_FILTERS
    }


def _stage_untracked(store: GitStore) -> dict[bytes, str]:
    untracked = _paths(store.git("ls-files", "-z", "--others", "--exclude-standard"))
    opaque = _opaque(store, untracked)
    top = store.repository.top
    reasons = {path: opaque.get(path) or _objection(path, top) for path in untracked}
    wanted = _listed(path for path in untracked if not reasons[path])
    store.git("update-index", "-z", "--add", "--remove", "--replace", "--stdin", stdin=wanted)
    return {path: why for path, why in reasons.items() if why}


def _find_extras(store: GitStore, include: Sequence[str]) -> tuple[list[bytes], dict[bytes, str]]:
    """Return the included ignored files, and those of them that are left out."""
    top = store.repository.top
    patterns = read_regular(top / INCLUDE_FILE) + b"\n" + os.fsencode("\n".join(include)) + b"\n"
    if not patterns.strip():
        return [], {}
    file = store.directory / "include"
    file.write_bytes(patterns)
    asked = ("ls-files", "-z", "--others", "--ignored", f"--exclude-from={file}")
    exact = {os.fsencode(os.path.normpath(pattern.lstrip("/"))) for pattern in include}
    found, reasons, left = [], {}, EXTRAS_LIMIT
    for path in _paths(store.git(*asked)):
        why = _objection(path, top, secret=path in exact)
        left -= 0 if why else (top / os.fsdecode(path)).lstat().st_size
        if why or left < 0:
            reasons[path] = why or "too large together"
        else:
            found.append(path)
    return found, reasons


def _write_extras(store: GitStore, included: list[bytes]) -> str:
    if not included:
        return ""
    index = store.directory / "extras"
    index.unlink(missing_ok=True)
    env = {"GIT_INDEX_FILE": str(index)}
    store.git("update-index", "-z", "--add", "--stdin", stdin=_listed(included), env=env)
    return store.git("write-tree", env=env).decode().strip()


def _objection(path: bytes, top: Path, *, secret: bool = False) -> str:
    """Return why an untracked path is left out, else ""; `secret` permits a secret."""
    if path.endswith(b"/"):
        return "a repository of its own"
    if not secret and looks_secret(path.decode("utf-8", "replace")):
        return "looks like a secret"
    if any(found.rule in ("git_dir", "path_escape") for found in check_path(path)):
        return "git refuses the name"
    try:
        size = (top / os.fsdecode(path)).lstat().st_size
    except OSError:
        return "cannot be read"
    return "too large" if size > UNTRACKED_LIMIT else ""


def _size(top: Path, path: bytes) -> int:
    """Return the size of a file on disk, 0 where there is none; git would have to read it."""
    try:
        return os.lstat(os.path.join(os.fsencode(top), path)).st_size
    except OSError:
        return 0


def _is_special(top: Path, path: bytes) -> bool:
    try:
        mode = (top / os.fsdecode(path)).lstat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode))


def _paths(listing: bytes) -> list[bytes]:
    return [path for path in listing.split(b"\0") if path]


def _listed(paths: Iterable[bytes]) -> bytes:
    return b"".join(path + b"\0" for path in paths)
