"""The repository goes into a sandbox as one commit, and the change comes out of it as a patch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from weakref import WeakKeyDictionary

from reapair.sandbox import inside, worktree
from reapair.sandbox.base import ExecResult, Sandbox, SandboxError
from reapair.sandbox.hostgit import AGENT, GitStore
from reapair.sandbox.safegit import SAFE_ENVIRONMENT

PATCH_LIMIT = 20 * 1024 * 1024
"""Most bytes of a patch that `Snapshot.patch` returns."""

# Long for a large tree on a slow disk, short for a pipe that the model has put in git's way.
_SECONDS = 180.0
_DATE = "946684800 +0000"
_SIGNED = {
    **{"GIT_AUTHOR_NAME": AGENT[0], "GIT_AUTHOR_EMAIL": AGENT[1], "GIT_AUTHOR_DATE": _DATE},
    "GIT_COMMITTER_NAME": AGENT[0],
    "GIT_COMMITTER_EMAIL": AGENT[1],
    "GIT_COMMITTER_DATE": _DATE,
}
# What running a suite leaves behind, for repositories that do not ignore it themselves.
_SCRATCH = b"__pycache__/\n*.pyc\n.pytest_cache/\n"


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """A tree of files to work on, independent of the repository it was taken from.

    Attributes:
        tree: id of the git tree.
        base: id of the root commit that holds it in a sandbox; the same wherever the tree is.
        head: the commit the repository stood on, None before its first one.
        dirty: the tree is another than that commit's.
        files: how many it has.
        left_out: untracked paths that were not taken, printable.
        pack: a file with all its objects.
        settings: git settings that change bytes between work tree and objects.
        excludes: ignore patterns that are not in the tree.
    """

    tree: str
    base: str
    head: str | None
    dirty: bool
    files: int
    left_out: tuple[str, ...]
    pack: Path = field(repr=False)
    settings: Mapping[str, str] = field(repr=False)
    excludes: bytes = field(repr=False)
    # By sandbox, what was in it before: a model that removes `.git` takes the list there with it.
    _excluded: WeakKeyDictionary[Sandbox, bytes] = field(
        default_factory=WeakKeyDictionary, repr=False, compare=False
    )

    @classmethod
    def of_work_tree(cls, repository: Path, store_dir: Path) -> Self:
        """Take the files as they are on disk: tracked ones, and untracked ones nothing ignores.

        Args:
            repository: a path in the work tree; nothing in it is changed.
            store_dir: where the snapshot is kept; several may share one.

        Raises SandboxError.
        """
        store = GitStore(store_dir, repository)
        left_out = worktree.stage(store)
        tree = store.git("write-tree").decode().strip()
        return cls._keep(store, tree, store.repository.head(), left_out)

    @classmethod
    def of_commit(cls, repository: Path, revision: str, store_dir: Path) -> Self:
        """Take a commit's files. Raises SandboxError, also when `revision` names no commit."""
        store = GitStore(store_dir, repository)
        commit = store.repository.commit(revision)
        return cls._keep(store, store.tree_of(commit), commit, [])

    @classmethod
    def _keep(cls, store: GitStore, tree: str, head: str | None, left_out: list[str]) -> Self:
        base = store.commit_tree(tree, "Initial commit", parent=None, env=_SIGNED)
        listing = store.git("ls-tree", "-r", "-z", "--name-only", tree)
        pack = store.directory / f"{tree}.pack"
        if not pack.exists():
            # Nobody keeps this pack for long: no time is spent on making it small.
            flags = ("--revs", "--stdout", "-q", "--window=0", "--compression=1")
            written = pack.with_suffix(".new")
            written.write_bytes(store.git("pack-objects", *flags, stdin=base.encode() + b"\n"))
            written.replace(pack)
        facts = {
            "tree": tree,
            "base": base,
            "head": head,
            "dirty": bool(listing) if head is None else tree != store.tree_of(head),
            "files": listing.count(b"\0"),
            "left_out": left_out,
            "settings": store.conversion,
            "excludes": store.excludes.decode("utf-8", "surrogateescape"),
        }
        (store.directory / f"{tree}.json").write_text(json.dumps(facts), "utf-8")
        return cls.open(store.directory, tree)

    @classmethod
    def open(cls, store_dir: Path, tree: str) -> Self:
        """Return a snapshot that was taken before, by its tree's id. Raises SandboxError."""
        try:
            facts = json.loads((store_dir / f"{tree}.json").read_text("utf-8"))
        except OSError as error:
            raise SandboxError(f"The snapshot {tree} is not in {store_dir}: {error}") from error
        facts["left_out"] = tuple(facts["left_out"])
        facts["excludes"] = facts["excludes"].encode("utf-8", "surrogateescape")
        return cls(**facts, pack=store_dir / f"{tree}.pack")

    def load(self, sandbox: Sandbox) -> None:
        """Put the files into the sandbox's workspace, as a git repository with one commit.

        What the workspace holds beside them stays and is ignored from then on; what an earlier
        repository tracked there goes. Raises SandboxError.
        """
        output = self._install(sandbox, inside.CLEAR + inside.REPOSITORY + inside.CHECK_OUT)
        commit, _, others = output.partition(b"\n")
        if commit.decode("ascii", "replace") != self.base:
            raise SandboxError("The sandbox holds another commit than the snapshot's. Try again.")
        patterns = (_pattern(path) for path in others.split(b"\0") if path)
        self._excluded[sandbox] = b"\n".join((self.excludes, _SCRATCH, *patterns, b""))
        self._exclude(sandbox)

    def patch(self, sandbox: Sandbox) -> bytes:
        """Return the change made in the sandbox since `load`, as git's binary-safe diff.

        It depends on the work tree alone, and on files the model added to its index; commits,
        branches, configuration and even a missing `.git` make no difference. Raises SandboxError.
        """
        result = self._run(sandbox, inside.PRIVATE + inside.DIFF)
        for mend in (self._repair, self._take_bytes):
            if not (result.ok or result.died):
                mend(sandbox)
                result = self._run(sandbox, inside.PRIVATE + inside.DIFF)
        if result.dropped:
            raise SandboxError(
                f"The change is larger than {PATCH_LIMIT // 1024 // 1024} MB. It may hold files "
                "that were generated: ignore them in .gitignore."
            )
        return _checked(result, "The change could not be read from the sandbox")

    def apply(self, sandbox: Sandbox, patch: bytes) -> str | None:
        """Change the sandbox's work tree by a patch; return git's words when it does not apply.

        All or nothing. Raises SandboxError when the sandbox fails.
        """
        if not patch.strip():
            return None
        script = inside.PRIVATE + "exec git apply --whitespace=nowarn -"
        result = self._run(sandbox, script, patch)
        if result.exit_code == inside.NO_REPOSITORY:
            self._repair(sandbox)
            result = self._run(sandbox, script, patch)
        if result.timed_out or result.died:
            _checked(result, "The patch could not be applied")
        return (
            None if result.ok else result.stderr.decode("utf-8", "replace").strip() or "no reason"
        )

    def _repair(self, sandbox: Sandbox) -> None:
        """Make the repository anew beside the files as they are."""
        _checked(self._run(sandbox, inside.UNBLOCK), "The workspace could not be opened up")
        self._install(sandbox, inside.REPOSITORY + inside.KEEP_FILES)
        self._exclude(sandbox)

    def _take_bytes(self, sandbox: Sandbox) -> None:
        """Have encodings that attributes claim for files, perhaps wrongly, left alone."""
        _checked(self._run(sandbox, inside.TAKE_BYTES), "The repository could not be written to")

    def _install(self, sandbox: Sandbox, script: str) -> bytes:
        result = self._run(sandbox, script, self.pack.read_bytes())
        return _checked(result, "The snapshot could not be put into the sandbox")

    def _exclude(self, sandbox: Sandbox) -> None:
        patterns = self._excluded.get(sandbox, self.excludes + _SCRATCH)
        _checked(
            self._run(sandbox, inside.EXCLUDE, patterns), "The workspace could not be written to"
        )

    def _run(self, sandbox: Sandbox, script: str, stdin: bytes = b"") -> ExecResult:
        """Run a script of ours, under no configuration but the repository's."""
        variables = {
            "BASE": self.base,
            "FORMAT": "--object-format=sha256" if len(self.base) == 64 else "",
            "SETTINGS": _config({"user.name": AGENT[0], "user.email": AGENT[1], "gc.auto": "0"})
            + _config(self.settings),
        }
        return sandbox.exec(
            script,
            timeout=_SECONDS,
            stdin=stdin,
            env={**SAFE_ENVIRONMENT, **_SIGNED, **variables},
            output_limit=PATCH_LIMIT,
        )


def _checked(result: ExecResult, failure: str) -> bytes:
    if result.ok and not result.dropped:
        return result.stdout
    if result.exit_code == 127:
        reason = "the image has no git, or no standard tools. Name one that has with --image."
    elif result.exit_code is None:
        reason = "it took too long." if result.timed_out else "the sandbox went away."
    elif result.dropped:
        reason = "there were too many files in the workspace."
    else:
        lines = result.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit code {result.exit_code}."
    raise SandboxError(f"{failure}: {reason}")


def _config(settings: Mapping[str, str]) -> str:
    pairs = ((*key.split("."), value) for key, value in settings.items())
    return "".join(f"[{section}]\n\t{name} = {value}\n" for section, name, value in pairs)


def _pattern(path: bytes) -> bytes:
    """Return the ignore pattern that fits this path alone; `?` stands for a newline."""
    return b"/" + re.sub(rb"[\r\n]", b"?", re.sub(rb"([\\*?\[ ])", rb"\\\1", path))
