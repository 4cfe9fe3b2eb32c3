"""A small git repository of ours on the host: files in, commits and patches out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from reapair.sandbox.git.run_git import SAFE_ENVIRONMENT, run_git

_FIXED = {
    "GIT_AUTHOR_NAME": "agent",
    "GIT_AUTHOR_EMAIL": "agent@localhost",
    "GIT_COMMITTER_NAME": "agent",
    "GIT_COMMITTER_EMAIL": "agent@localhost",
    # The same files give the same commit, and so the same environment image.
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
}


class ScratchRepository:
    """A work tree in a directory, which may hold files already."""

    def __init__(self, place: Path) -> None:
        self.place = place = place.absolute()  # git runs in it, so a relative path would double
        self._variables = SAFE_ENVIRONMENT | _FIXED | {"PATH": os.environ.get("PATH", os.defpath)}
        self._variables |= {"GIT_DIR": str(place / ".git"), "GIT_WORK_TREE": str(place)}
        self._git("init", "--quiet", "--template=", "--initial-branch=main")

    def commit(self, files: Mapping[str, bytes | None] | None = None) -> str:
        """Write files, or remove those that are None; return the commit with all there are."""
        for name, data in (files or {}).items():
            file = self.place / name
            if data is None:
                file.unlink()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
        self._git("add", "--all", "--force")
        self._git("commit", "--quiet", "--no-verify", "--allow-empty", "--message=Initial commit")
        return self._git("rev-parse", "HEAD").decode().strip()

    def apply(self, patch: bytes) -> None:
        """Change the files by a patch. Raises GitError when it does not apply."""
        self._git("apply", "--whitespace=nowarn", "-", stdin=patch)

    def diff(self, before: str, after: str) -> bytes:
        """Return the patch from one commit to another."""
        flags = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--binary")
        return self._git("diff", *flags, before, after)

    def _git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        return run_git(arguments, self._variables, self.place, stdin)


def write_files(git_dir: Path, revision: str, place: Path) -> None:
    """Write the files of a commit or tree into a directory that is there. Raises GitError.

    Not by `git archive`: attributes can leave files out of that, and rewrite others.
    """
    place = place.absolute()
    index = place.with_name(place.name + ".index")
    variables = {"GIT_DIR": str(git_dir), "GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(place)}
    try:
        for arguments in (("read-tree", revision), ("checkout-index", "--all", "--force")):
            run_git(arguments, SAFE_ENVIRONMENT | variables, place)
    finally:
        index.unlink(missing_ok=True)
