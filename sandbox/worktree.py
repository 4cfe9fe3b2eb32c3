"""What of a user's work tree goes into a snapshot: everything git would add, less its secrets."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

from reapair.sandbox.hostgit import GitStore
from reapair.sandbox.policy import check_path, printable

UNTRACKED_LIMIT = 50 * 1024 * 1024
"""Bytes above which an untracked file stays out: the snapshot travels through memory."""

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


def looks_secret(path: str) -> bool:
    """Tell by its name whether a file may hold a password or a key."""
    *directories, name = path.lower().split("/")
    if not _SECRET_DIRECTORIES.isdisjoint(directories):
        return True
    return not _HARMLESS.search(name) and any(fnmatchcase(name, p) for p in _SECRET_NAMES)


def stage(store: GitStore) -> list[str]:
    """Make the store's index hold the work tree as it is on disk.

    Tracked files count with what they hold now (a deleted one is gone), and untracked ones that
    nothing ignores. A submodule keeps the commit it is recorded at.

    Returns the untracked paths left out, printable: what looks like a secret, is too large, has a
    name that git refuses, or is a repository of its own. Raises GitError.
    """
    store.copy_index()
    # Never `add` or `status`: they start git inside submodules, under those' own configuration.
    changes = ("diff-files", "-z", "--name-only", "--ignore-submodules=all")
    deleted = store.git(*changes, "--diff-filter=D")
    store.git("update-index", "-z", "--force-remove", "--stdin", stdin=deleted)
    untracked = store.git("ls-files", "-z", "--others", "--exclude-standard").split(b"\0")
    left_out = {path for path in untracked if path and _stays_out(path, store.repository.top)}
    wanted = [path for path in untracked if path and path not in left_out]
    store.git(
        *("update-index", "-z", "--add", "--remove", "--replace", "--stdin"),
        stdin=store.git(*changes) + b"".join(path + b"\0" for path in wanted),
    )
    return sorted(printable(path) for path in left_out)


def _stays_out(path: bytes, top: Path) -> bool:
    if path.endswith(b"/") or looks_secret(path.decode("utf-8", "replace")):
        return True
    if any(found.rule in ("git_dir", "path_escape") for found in check_path(path)):
        return True
    try:
        return (top / path.decode("utf-8", "surrogateescape")).lstat().st_size > UNTRACKED_LIMIT
    except OSError:
        return True
