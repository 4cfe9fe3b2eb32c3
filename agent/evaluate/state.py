"""Makes the repository of an instance: the state that the model sees, and nothing hidden in it.

Whatever it comes from, it ends as a work tree with one root commit: no later history, no branch
with the solution, no hidden tests.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from reapair.agent.evaluate.instances import Instance, InstanceError
from reapair.sandbox.hostgit import Repository
from reapair.sandbox.safegit import SAFE_ENVIRONMENT, GitError, run_git

_IDENTITY = {
    "GIT_AUTHOR_NAME": "agent",
    "GIT_AUTHOR_EMAIL": "agent@localhost",
    "GIT_COMMITTER_NAME": "agent",
    "GIT_COMMITTER_EMAIL": "agent@localhost",
    # A fixed time gives the same state the same commit, and so the same environment image.
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
}


def make_state(
    instance: Instance, place: Path, clones: Path | None = None, *, hide: bool = True
) -> Path:
    """Write the instance's repository to `place` and return it.

    Args:
        instance: the task.
        place: a directory that does not exist yet.
        clones: directory with local clones, named `owner__name` or `owner/name`, for instances
            that come without an archive.
        hide: leave out the tests that must fail; only grading needs them.

    Raises InstanceError when the state can't be had.
    """
    place.mkdir(parents=True)
    if instance.archive and instance.archive.is_dir():
        shutil.copytree(instance.archive, place, symlinks=True, dirs_exist_ok=True)
    elif instance.archive:
        _unpack(instance.archive, instance.top, place)
    else:
        _check_out(instance, place, clones)
    if hide:
        _hide_tests(instance, place)
    _commit(place)
    return place


def _hide_tests(instance: Instance, place: Path) -> None:
    """Remove the files of tests that must fail, as SWE-smith does in its second edition.

    Where a patch brings the hidden tests, the state has none of them to begin with.
    """
    if instance.test_patch:
        return
    for test in instance.fail_to_pass:
        file = (place / test.partition("::")[0]).resolve()
        if file.is_relative_to(place.resolve()) and file.is_file():
            file.unlink()


def _unpack(archive: Path, top: str, place: Path) -> None:
    """Unpack the repository's files, without its git directory: that may hold the solution."""
    prefix = () if top == "." else Path(top).parts
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                parts = Path(member.name).parts
                inner = parts[len(prefix) :]
                if parts[: len(prefix)] != prefix or not inner or inner[0] == ".git":
                    continue
                member.name = str(Path(*inner))
                if member.islnk():
                    member.linkname = str(Path(*Path(member.linkname).parts[len(prefix) :]))
                tar.extract(member, place, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise InstanceError(f"{archive} can't be unpacked: {error}.") from error


def _check_out(instance: Instance, place: Path, clones: Path | None) -> None:
    names = (instance.repo.replace("/", "__"), instance.repo, instance.repo.rpartition("/")[2])
    found = next((clones / name for name in names if clones and (clones / name).is_dir()), None)
    if found is None:
        raise InstanceError(
            f"{instance.id}: no archive, and no clone of {instance.repo} "
            f"{f'in {clones}' if clones else ''}. Name a directory of clones with --repos."
        )
    git_dir = found if (found / "HEAD").is_file() else Repository.find(found).git_dir
    revision = instance.base_commit
    try:
        if instance.schema_name == "swe-smith":
            revision = _smith_revision(git_dir, revision)
        packed = place.with_name(place.name + ".tar")
        run_git(
            ("archive", "--format=tar", f"--output={packed}", f"{revision}^{{commit}}"),
            SAFE_ENVIRONMENT | {"GIT_DIR": str(git_dir)},
            place,
        )
    except GitError as error:
        raise InstanceError(f"{instance.id}: {found} has no {revision}.") from error
    _unpack(packed, ".", place)
    packed.unlink()


def _smith_revision(git_dir: Path, branch: str) -> str:
    """Return the mirror branch's commit, wherever the clone keeps it."""
    for name in (f"refs/heads/{branch}", f"refs/remotes/origin/{branch}"):
        try:
            run_git(
                ("rev-parse", "--verify", "--quiet", name),
                SAFE_ENVIRONMENT | {"GIT_DIR": str(git_dir)},
                git_dir,
            )
        except GitError:
            continue
        return name
    return branch


def _commit(place: Path) -> None:
    """Make the tree one root commit, ignored files and all: the state is what the task says."""
    environment = SAFE_ENVIRONMENT | _IDENTITY | {"PATH": os.environ.get("PATH", os.defpath)}
    for arguments in (
        ("init", "--quiet", "--template=", "--initial-branch=main"),
        ("add", "--all", "--force"),
        ("commit", "--quiet", "--no-verify", "--allow-empty", "--message=Initial commit"),
    ):
        run_git(arguments, environment, place)
