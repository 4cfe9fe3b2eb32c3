"""A small temporary git repository on the host: files in, commits and patches out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from reapair.sandbox.git.run_git import SAFE_ENVIRONMENT, GitError, run_git

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
        # GitPython is used here only: in a repository of anybody else's, what it does with the
        # configuration and the references that it finds is not bounded.
        from git import Git

        self.place = place.absolute()
        here = {"GIT_DIR": str(self.place / ".git"), "GIT_WORK_TREE": str(self.place)}
        self._git = Git(self.place)
        self._git.update_environment(**SAFE_ENVIRONMENT, **_FIXED, **here)
        self._git.init(quiet=True, template="", initial_branch="main")

    def commit(self, files: Mapping[str, bytes | None] | None = None) -> str:
        """Write files, or remove those that are None; return the commit of all files."""
        for name, data in (files or {}).items():
            file = self.place / name
            if data is None:
                file.unlink()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
        self._git.add(all=True, force=True)
        self._git.commit(quiet=True, no_verify=True, allow_empty=True, message="Initial commit")
        return str(self._git.rev_parse("HEAD"))

    def apply(self, patch: bytes) -> None:
        """Change the files by a patch. Raises GitError when it does not apply."""
        from git import GitCommandError

        with tempfile.TemporaryFile() as file:
            file.write(patch)
            file.seek(0)
            try:
                self._git.apply("-", whitespace="nowarn", istream=file)
            except GitCommandError as error:
                raise GitError(f"git apply failed: {error.stderr}", str(error.stderr)) from None

    def diff(self, before: str, after: str) -> bytes:
        """Return the patch from one commit to another."""
        flags = {"no_color": True, "no_ext_diff": True, "no_textconv": True, "no_renames": True}
        raw = {"stdout_as_string": False, "strip_newline_in_stdout": False}
        return bytes(self._git.diff(before, after, binary=True, **flags, **raw))


def write_files(git_dir: Path, revision: str, place: Path) -> None:
    """Write the files of a commit or tree into an existing directory. Raises GitError.

    Not by `git archive`, in which attributes can omit files and rewrite others.
    """
    place = place.absolute()
    index = place.with_name(place.name + ".index")
    variables = {"GIT_DIR": str(git_dir), "GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(place)}
    try:
        for arguments in (("read-tree", revision), ("checkout-index", "--all", "--force")):
            run_git(arguments, SAFE_ENVIRONMENT | variables, place)
    finally:
        index.unlink(missing_ok=True)
