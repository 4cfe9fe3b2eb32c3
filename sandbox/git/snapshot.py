"""Copy a repository into a sandbox as commits, and the change out of it as a patch."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self
from weakref import WeakKeyDictionary

from reapair.sandbox.base import ExecResult, Sandbox, SandboxError
from reapair.sandbox.git import snapshot_scripts as inside
from reapair.sandbox.git.repository import AGENT, GitStore
from reapair.sandbox.git.run_git import SAFE_ENVIRONMENT, time_limit
from reapair.sandbox.git.snapshot_store import SIGNED, keep
from reapair.sandbox.git.staging import stage, stage_commit

PATCH_LIMIT = 20 * 1024 * 1024
"""Most bytes of a patch that `Snapshot.patch` returns."""

TAKING_SECONDS = 120.0
"""Most seconds of all git commands together that take a snapshot of a hostile repository."""

# Enough for a large tree on a slow disk; ends git that reads a pipe the model has made.
_SECONDS = 180.0
# Leftovers of a test run, for repositories that do not ignore them.
_SCRATCH = b"__pycache__/\n*.pyc\n.pytest_cache/\n"
# Git compares times by the second: a file may change within the second of its indexing.
_SETTLING_SECONDS = 2.0

_LINKS = re.compile(rb"^:(?:120000 |[0-7]{6} 120000 )", re.MULTILINE)
_RENAMES = re.compile(rb"^:[^\t]* R[0-9]*\t", re.MULTILINE)


@dataclass(slots=True)
class _Loaded:
    """State of a sandbox that holds the snapshot; `since` is on the monotonic clock.

    `excludes` names what was in it before: a model that removes `.git` removes that list with it.
    `settled` is set once git's index is newer than all files in it.
    """

    excludes: bytes
    since: float
    settled: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """A tree of files to work on, independent of the repository it was taken from.

    Attributes:
        name: the name for `open`.
        tree: id of the git tree.
        base: id of the commit that holds it in a sandbox; the same wherever the snapshot is.
        head: the repository's HEAD, None before its first commit.
        dirty: the tree differs from that commit's.
        files: their number.
        left_out: printable paths that were not taken, each with the reason.
        pack: a file with all its objects.
        settings: git settings that change bytes between work tree and objects.
        excludes: ignore patterns that are not in the tree.
        shallow: the commits at which the history ends.
        tags: the tags in it, as git writes them into a file.
        extras: id of a tree of ignored files that are copied in, but never out; or "".
        included: the paths of these files.
    """

    name: str
    tree: str
    base: str
    head: str | None
    dirty: bool
    files: int
    left_out: tuple[str, ...]
    pack: Path = field(repr=False)
    settings: Mapping[str, str] = field(repr=False)
    excludes: bytes = field(repr=False)
    shallow: tuple[str, ...] = field(repr=False)
    tags: str = field(repr=False)
    extras: str = field(repr=False)
    included: tuple[bytes, ...] = field(repr=False)
    _loaded: WeakKeyDictionary[Sandbox, _Loaded] = field(
        default_factory=WeakKeyDictionary, repr=False, compare=False
    )

    @classmethod
    def of_work_tree(
        cls,
        repository: Path,
        store_dir: Path,
        *,
        include: Sequence[str] = (),
        history: bool = False,
    ) -> Self:
        """Take the files on disk: tracked ones, and untracked ones that are not ignored.

        Args:
            repository: a path in the work tree; nothing in it is changed.
            store_dir: where the snapshot is kept; snapshots may share one.
            include: patterns for ignored files that are copied in too; see `staging.stage`.
            history: take the newest commits and their tags too, within limits.

        Raises SandboxError.
        """
        with time_limit(TAKING_SECONDS):
            store = GitStore(store_dir, repository)
            staged, head = stage(store, include), store.repository.head()
            return cls.open(store.directory, keep(store, staged, head, history=history))

    @classmethod
    def of_commit(
        cls,
        repository: Path,
        revision: str,
        store_dir: Path,
        *,
        beside: Self | None = None,
        history: bool = False,
    ) -> Self:
        """Take a commit's files.

        Args:
            beside: a snapshot in the same store whose ignored files are copied in too.

        Raises SandboxError, also when `revision` names no commit.
        """
        with time_limit(TAKING_SECONDS):
            store = GitStore(store_dir, repository)
            commit = store.repository.commit(revision)
            staged = stage_commit(store, commit)
            if beside:
                staged = replace(staged, extras=beside.extras, included=beside.included)
            return cls.open(store.directory, keep(store, staged, commit, history=history))

    @classmethod
    def open(cls, store_dir: Path, name: str) -> Self:
        """Return an existing snapshot. Raises SandboxError."""
        try:
            facts = json.loads((store_dir / f"{name}.json").read_text("utf-8"))
        except OSError as error:
            raise SandboxError(f"The snapshot {name} is not in {store_dir}: {error}") from error
        facts |= {key: tuple(facts[key]) for key in ("left_out", "shallow")}
        facts["excludes"] = facts["excludes"].encode("utf-8", "surrogateescape")
        facts["included"] = tuple(
            path.encode("utf-8", "surrogateescape") for path in facts["included"]
        )
        return cls(**facts, pack=store_dir / f"{name}.pack")

    def load(self, sandbox: Sandbox, *, extras: bool = True) -> None:
        """Copy the files into the sandbox's workspace, as a git repository.

        Other files in the workspace stay and are ignored from then on; those that an earlier
        repository tracked are removed. `extras` copies the ignored files, too. Raises SandboxError.
        """
        script = inside.CLEAR + inside.REPOSITORY + inside.CHECK_OUT
        output = self._install(sandbox, script, self.extras if extras else "")
        commit, _, others = output.partition(b"\n")
        if commit.decode("ascii", "replace") != self.base:
            raise SandboxError("The sandbox holds another commit than the snapshot's. Try again.")
        patterns = (_pattern(path) for path in others.split(b"\0") if path)
        excludes = b"\n".join((self.excludes, _SCRATCH, *patterns, b""))
        self._loaded[sandbox] = _Loaded(excludes, time.monotonic())
        self._exclude(sandbox)

    def patch(self, sandbox: Sandbox) -> bytes:
        """Return the change made in the sandbox since `load`, as git's binary-safe diff.

        It depends only on the work tree and on files the model added to its index; commits,
        branches, configuration and even a missing `.git` make no difference. Raises SandboxError.
        """
        result = self._diff(sandbox)
        for repair in (self._recreate, self._take_bytes):
            if not (result.ok or result.died):
                repair(sandbox)
                result = self._diff(sandbox)
        if result.ok and _LINKS.search(result.stdout) and _RENAMES.search(result.stdout):
            # The patch must show the target of every link, which that of a renamed one does not.
            result = self._diff(sandbox, "--no-renames")
        if result.dropped:
            raise SandboxError(
                f"The change is larger than {PATCH_LIMIT // 1024 // 1024} MB. It may hold files "
                "that were generated: ignore them in .gitignore."
            )
        output = _checked(result, "The change could not be read from the sandbox")
        return output.partition(b"\n\n")[2]

    def _diff(self, sandbox: Sandbox, renames: str = "--find-renames") -> ExecResult:
        """Return git's list of changed files, an empty line, and the patch."""
        loaded, script = self._loaded.get(sandbox), inside.PRIVATE + inside.DIFF
        if loaded and not loaded.settled and time.monotonic() - loaded.since > _SETTLING_SECONDS:
            loaded.settled = True
            script = inside.PRIVATE + inside.SETTLE + inside.DIFF
        listed = b"".join(path + b"\0" for path in self.included)
        return self._run(sandbox, script, listed, EXTRAS=self.extras, RENAMES=renames)

    def apply(self, sandbox: Sandbox, patch: bytes) -> str | None:
        """Apply a patch to the sandbox's work tree; return git's message when it does not apply.

        All or nothing. Raises SandboxError when the sandbox fails.
        """
        if not patch.strip():
            return None
        script = inside.PRIVATE + "exec git apply --whitespace=nowarn -"
        result = self._run(sandbox, script, patch)
        if result.exit_code == inside.NO_REPOSITORY:
            self._recreate(sandbox)
            result = self._run(sandbox, script, patch)
        if result.timed_out or result.died:
            _checked(result, "The patch could not be applied")
        return (
            None if result.ok else result.stderr.decode("utf-8", "replace").strip() or "no reason"
        )

    def _recreate(self, sandbox: Sandbox) -> None:
        """Create the repository again and keep the files as they are."""
        _checked(self._run(sandbox, inside.UNBLOCK), "The workspace could not be opened up")
        self._install(sandbox, inside.REPOSITORY + inside.KEEP_FILES)
        self._exclude(sandbox)

    def _take_bytes(self, sandbox: Sandbox) -> None:
        """Ignore the encodings of files in attributes, which may be wrong."""
        _checked(self._run(sandbox, inside.TAKE_BYTES), "The repository could not be written to")

    def _install(self, sandbox: Sandbox, script: str, extras: str = "") -> bytes:
        shallow = "".join(f"{commit}\n" for commit in self.shallow)
        pack = self.pack.read_bytes()
        result = self._run(sandbox, script, pack, EXTRAS=extras, SHALLOW=shallow, TAGS=self.tags)
        return _checked(result, "The snapshot could not be put into the sandbox")

    def _exclude(self, sandbox: Sandbox) -> None:
        loaded = self._loaded.get(sandbox)
        patterns = loaded.excludes if loaded else self.excludes + _SCRATCH
        _checked(
            self._run(sandbox, inside.EXCLUDE, patterns), "The workspace could not be written to"
        )

    def _run(
        self, sandbox: Sandbox, script: str, stdin: bytes = b"", **variables: str
    ) -> ExecResult:
        """Run a script with no configuration but the repository's."""
        variables |= {
            "BASE": self.base,
            "FORMAT": "--object-format=sha256" if len(self.base) == 64 else "",
            "SETTINGS": _config({"user.name": AGENT[0], "user.email": AGENT[1], "gc.auto": "0"})
            + _config(self.settings),
        }
        return sandbox.exec(
            script,
            timeout=_SECONDS,
            stdin=stdin,
            env={**SAFE_ENVIRONMENT, **SIGNED, **variables},
            output_limit=PATCH_LIMIT,
        )


def _checked(result: ExecResult, failure: str) -> bytes:
    if result.ok and not result.dropped:
        return result.stdout
    if result.exit_code == 127:
        reason = "the image has no git, or no standard tools. Choose another with --image."
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
    """Return the ignore pattern that matches this path only; `?` stands for a newline."""
    return b"/" + re.sub(rb"[\r\n]", b"?", re.sub(rb"([\\*?\[ ])", rb"\\\1", path))
