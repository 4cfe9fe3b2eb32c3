"""The licence of the code in a run, as its snapshot's own licence file says."""

from __future__ import annotations

import re
from pathlib import Path

from reapair.sandbox.git.run_git import SAFE_ENVIRONMENT, GitError, run_git

_FILE = re.compile(r"(?i)(licen[cs]e|copying)(\.(md|rst|txt))?")

_READ = 40_000
"""Bytes of a licence's text that are read."""

_MARKS = (
    ("Apache-2.0", r"Apache License\s+Version 2\.0"),
    ("AGPL-3.0", r"GNU AFFERO GENERAL PUBLIC LICENSE"),
    ("LGPL", r"GNU LESSER GENERAL PUBLIC LICENSE"),
    ("GPL-3.0", r"GNU GENERAL PUBLIC LICENSE\s+Version 3"),
    ("GPL-2.0", r"GNU GENERAL PUBLIC LICENSE\s+Version 2"),
    ("MPL-2.0", r"Mozilla Public License,? (Version|v\.) ?2\.0"),
    ("BSD-3-Clause", r"Redistribution and use in source and binary forms(?s:.)*\bendorse"),
    ("BSD-2-Clause", r"Redistribution and use in source and binary forms"),
    ("ISC", r"Permission to use, copy, modify, and/or distribute this software"),
    ("MIT", r"Permission is hereby granted, free of charge"),
    ("Unlicense", r"This is free and unencumbered software"),
)


def licence_of(store: Path, tree: str) -> str | None:
    """Return the SPDX name of a snapshot's licence; None where it has none that we know.

    Args:
        store: the run's git directory; it may be gone.
        tree: id of the snapshot's tree.
    """
    if not (store / "HEAD").exists():
        return None
    environment = SAFE_ENVIRONMENT | {"GIT_DIR": str(store)}
    try:
        names = run_git(("ls-tree", "--name-only", "-z", tree), environment, store).split(b"\0")
        for name in names:
            if _FILE.fullmatch(name.decode("utf-8", "replace")):
                text = run_git(("show", f"{tree}:{name.decode()}"), environment, store)
                return spdx_name(text.decode("utf-8", "replace"))
    except GitError:
        pass  # The user's repository, which the store borrows from, may be gone.
    return None


def licence_in(repository: Path) -> str | None:
    """Return the SPDX name of the licence in a directory; None where there is none that we know."""
    for file in sorted(repository.iterdir()):
        # No links: what they lead to is not the repository's.
        if _FILE.fullmatch(file.name) and file.is_file() and not file.is_symlink():
            with file.open("rb") as text:
                return spdx_name(text.read(_READ).decode("utf-8", "replace"))
    return None


def spdx_name(text: str) -> str | None:
    """Return the SPDX name of a licence by its text."""
    return next((name for name, mark in _MARKS if re.search(mark, text[:_READ])), None)
