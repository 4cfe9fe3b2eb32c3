"""How a patch reaches the user: a branch beside their work, their work tree, or a file."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from reapair.agent.handover.port import HandoverError
from reapair.sandbox.git.patch import Patch
from reapair.sandbox.git.repository import GitStore, Repository
from reapair.sandbox.git.run_git import GitError
from reapair.sandbox.write_whole import write_whole

SLUG_LIMIT = 40
"""Most characters of a branch name after `agent/`."""

_NEVER = frozenset(("size", "path_escape", "git_dir", "link_escape"))
_TRIES = 100


class Branch(NamedTuple):
    """A branch that was made. `note` is a line for people, mostly empty."""

    name: str
    note: str


def slugify(title: str) -> str:
    """Return a branch name for a title: lower-case ASCII words, at most SLUG_LIMIT characters."""
    ascii_title = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_title.lower()).strip("-")
    if len(slug) > SLUG_LIMIT:
        whole_words = slug[: SLUG_LIMIT + 1].rpartition("-")[0]
        slug = whole_words or slug[:SLUG_LIMIT]
    return slug or "change"


def is_branch_name(repository: Path, name: str) -> bool:
    """Return whether git takes a branch of this name."""
    try:
        Repository.find(repository).git("check-ref-format", f"refs/heads/{name}")
    except GitError:
        return False
    return not name.startswith("-")


def to_branch(
    repository: Path,
    patch: bytes,
    *,
    name: str,
    message: str,
    author: tuple[str, str] | None = None,
    when: int | None = None,
) -> Branch:
    """Make a branch with one commit: HEAD and the patch.

    Work tree, index, HEAD and the user's other branches stay as they are, and no hook runs. The
    commit is signed where the user's git signs; where that fails it is not, and the note says so.

    Args:
        repository: a path in the user's work tree.
        patch: judged by the policy before.
        name: of the branch; a taken one gets -2, -3 and so on.
        message: of the commit.
        author: name and mail address; the user's own when not given.
        when: the commit's time in seconds since the epoch; now when not given. A hand-over that is
            repeated with all the same finds its branch and makes no second one.

    Raises HandoverError.
    """
    _refuse_unsafe(patch)
    with _explained(), TemporaryDirectory(prefix="agent-") as scratch:
        store = GitStore(Path(scratch) / "store", repository)
        user = store.repository
        head = user.head()
        tree = _patched_tree(store, head, patch)
        committer = user.identity()
        people = _person("AUTHOR", author or committer, when)
        people |= _person("COMMITTER", committer, when)
        if when is not None and (made := _made_before(user, name, tree, head, when)):
            return Branch(made, "")
        commit, note = _signed_if_possible(
            user.signing(),
            lambda sign: store.commit_tree(tree, message, parent=head, env=people, sign=sign),
        )
        wanted = f"{commit}\n" + (f"^{head}\n" if head else "")
        pack = store.git("pack-objects", "--revs", "--stdout", "-q", stdin=wanted.encode())
        user.git("unpack-objects", "-q", stdin=pack)
        return Branch(_create_branch(user, name, commit, people), note)


def apply_to_work_tree(repository: Path, patch: bytes) -> None:
    """Change the user's files by the patch, wholly or not at all; the index stays as it is.

    Args:
        repository: a path in the user's work tree.
        patch: judged by the policy before.

    Raises HandoverError, also where the user has changed the same lines since.
    """
    _change_work_tree(
        repository,
        patch,
        "The change does not fit your files any more ({}). Take your own changes of these lines "
        "back, or look at the patch with --patch FILE.",
    )


def take_back(repository: Path, patch: bytes) -> None:
    """Undo `apply_to_work_tree`, wholly or not at all.

    Args:
        repository: a path in the user's work tree.
        patch: the one that was applied.

    Raises HandoverError, also where the same lines have been changed since.
    """
    _change_work_tree(
        repository,
        patch,
        "The change is not in your files as it was applied ({}), so nothing was taken back. Undo "
        "what you have changed on top of it first.",
        "-R",
    )


def _change_work_tree(repository: Path, patch: bytes, refusal: str, *flags: str) -> None:
    _refuse_unsafe(patch)
    with _explained(), TemporaryDirectory(prefix="agent-") as scratch:
        store = GitStore(Path(scratch) / "store", repository)
        apply = ("apply", "--whitespace=nowarn", *flags)
        try:
            store.git(*apply, "--check", "-", stdin=patch)
        except GitError as error:
            raise HandoverError(refusal.format(error.detail)) from error
        with _undone_on_failure(store.repository.top, patch):
            store.git(*apply, "-", stdin=patch)


def replace_in_work_tree(repository: Path, old: bytes, new: bytes) -> None:
    """Apply a patch in the place of one that was applied before; b"" when none was.

    Raises HandoverError; the work tree then is as it was.
    """
    held = bool(old) and is_applied(repository, old)
    if held:
        take_back(repository, old)
    try:
        apply_to_work_tree(repository, new)
    except HandoverError:
        if held:
            apply_to_work_tree(repository, old)
        raise


def is_applied(repository: Path, patch: bytes) -> bool:
    """Return whether the work tree holds the whole change already."""
    with _explained(), TemporaryDirectory(prefix="agent-") as scratch:
        try:
            GitStore(Path(scratch) / "store", repository).git(
                "apply", "-R", "--check", "-", stdin=patch
            )
        except GitError:
            return False
        return True


def write_patch(path: Path, patch: bytes) -> None:
    """Write the patch to a file, wholly or not at all. Raises HandoverError."""
    try:
        write_whole(path, patch, mode=0o666)  # The user's umask decides, as for any file of theirs.
    except OSError as error:
        raise HandoverError(
            f"The patch could not be written to {path}: {error.strerror}."
        ) from error


def _refuse_unsafe(patch: bytes) -> None:
    if not patch.strip():
        raise HandoverError("There is nothing to hand over: the patch is empty.")
    for violation in Patch(patch).violations():
        if violation.rule in _NEVER:
            raise HandoverError(f"The patch is not handed over: {violation.message}")


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (GitError, OSError) as error:
        raise HandoverError(f"The change could not be handed over: {error}") from error


def _patched_tree(store: GitStore, head: str | None, patch: bytes) -> str:
    if head:
        store.git("read-tree", head)
    try:
        store.git("apply", "--cached", "--whitespace=nowarn", "-", stdin=patch)
    except GitError as error:
        raise HandoverError(
            f"The change builds on work that is not committed and does not fit HEAD alone "
            f"({error.detail}). Take it into your work tree with --apply, or as --patch FILE."
        ) from error
    return store.git("write-tree").decode().strip()


def _signed_if_possible(
    sign: tuple[str, ...], commit: Callable[[tuple[str, ...]], str]
) -> tuple[str, str]:
    """Return a commit, signed where the user signs, and a line when it could not be."""
    try:
        return commit(sign), ""
    except GitError as error:
        if not sign:
            raise
        note = f"The commit is not signed: {error.detail}. Sign it with: git commit --amend -S"
        return commit(()), note


def _create_branch(user: Repository, name: str, commit: str, people: dict[str, str]) -> str:
    """Point the first free of name, name-2, name-3 … to the commit."""
    for branch in _names(name):
        if _is_taken(user, branch):
            continue
        try:
            arguments = ("update-ref", "-m", "agent: made", f"refs/heads/{branch}", commit)
            # An old value of zeros: only if there is none, whoever is faster.
            user.git(*arguments, "0" * len(commit), env=people)
        except GitError as error:
            if _is_taken(user, branch):
                continue
            raise HandoverError(
                f"The branch {branch} could not be made ({error.detail}). A branch named `agent` "
                "is in its way if there is one: rename it, or use --apply or --patch FILE."
            ) from error
        return branch
    raise HandoverError(f"The branches {name} to {name}-{_TRIES - 1} are taken. Delete some.")


def _names(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in range(2, _TRIES))


def _made_before(user: Repository, name: str, tree: str, head: str | None, when: int) -> str | None:
    """Return the branch that this very hand-over has made already, before a crash."""
    # Not by the commit's id: a signature is another one each time.
    wanted = f"{tree} {head or ''} {when}"
    form = "--format=%(refname:short) %(tree) %(parent) %(authordate:unix)"
    lines = user.git("for-each-ref", form, f"refs/heads/{name}", f"refs/heads/{name}-*")
    made = [line.partition(" ") for line in lines.decode("utf-8", "replace").splitlines()]
    return next((branch for branch, _, facts in made if facts == wanted), None)


def _is_taken(user: Repository, branch: str) -> bool:
    """Return whether a branch, one inside it or HEAD's unborn one has this name, in any case."""
    names = user.git("for-each-ref", "--format=%(refname)", "refs/heads/").decode(
        "utf-8", "replace"
    )
    taken = [*names.splitlines(), user.branch() or ""]
    wanted = f"refs/heads/{branch}"
    return any(f"{name.lower()}/".startswith(f"{wanted}/") for name in taken)


def _person(role: str, identity: tuple[str, str], when: int | None) -> dict[str, str]:
    named = {f"GIT_{role}_NAME": identity[0], f"GIT_{role}_EMAIL": identity[1]}
    return named | ({f"GIT_{role}_DATE": f"@{when} +0000"} if when is not None else {})


@contextmanager
def _undone_on_failure(top: Path, patch: bytes) -> Iterator[None]:
    """Put the patch's files back as they were when git stops half-way (disk full, no right)."""
    paths = {top / os.fsdecode(path) for file in Patch(patch).files for path in file.changed}
    kept = {path: _contents(path) for path in paths}
    try:
        yield
    except BaseException:  # An interrupt as well: subprocess ends git by it.
        for path, before in kept.items():
            if _contents(path) != before:
                _put_back(path, before)
        raise


def _contents(path: Path) -> tuple[int, bytes] | None:
    """Return mode and bytes of a file, or of a link's target; None when there is neither."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return mode, os.fsencode(os.readlink(path))
        return (mode, path.read_bytes()) if stat.S_ISREG(mode) else None
    except (FileNotFoundError, NotADirectoryError):
        return None


def _put_back(path: Path, before: tuple[int, bytes] | None) -> None:
    path.unlink(missing_ok=True)
    if before is None:
        return
    mode, data = before
    path.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISLNK(mode):
        path.symlink_to(os.fsdecode(data))
    else:
        path.write_bytes(data)
        path.chmod(stat.S_IMODE(mode))
