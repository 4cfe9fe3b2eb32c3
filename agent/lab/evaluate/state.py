"""Makes the repository of an instance: the state that the model sees, and nothing hidden in it.

Whatever it comes from, it ends as a work tree with one root commit: no later history, no branch
with the solution, no hidden tests.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

from reapair.agent.lab.evaluate.instance_image import InstanceEngine, write_state
from reapair.agent.lab.evaluate.instances import Instance, InstanceError
from reapair.agent.lab.evaluate.unpack import extract
from reapair.agent.settings.table import SandboxKind
from reapair.sandbox.git.repository import Repository
from reapair.sandbox.git.run_git import SAFE_ENVIRONMENT, GitError, run_git
from reapair.sandbox.git.scratch_repository import ScratchRepository, write_files

_TESTS_REMOVED = b"Remove F2P Tests"
"""Subject of the commit by which SWE-smith's mirrors hide the tests."""


def make_state(
    instance: Instance,
    place: Path,
    clones: Path | None = None,
    *,
    hide: bool = True,
    kind: SandboxKind = "auto",
) -> Path:
    """Write the instance's repository to `place` and return it.

    Args:
        instance: the task.
        place: a directory that does not exist yet.
        clones: directory with local clones, named `owner__name` or `owner/name`, for instances
            that come without an archive; without a clone the instance's image is taken.
        hide: leave out the tests that must fail; only grading needs them.
        kind: engine for images.

    Raises InstanceError when the state can't be had.
    """
    place = place.absolute()
    place.mkdir(parents=True)
    tree = ScratchRepository(place)
    clone = _clone_of(instance, clones)
    if instance.archive and instance.schema_name != "harbor":
        _unpack(instance.archive, instance.top, place)
    elif clone:
        _check_out(instance, place, clone, hide=hide)
    elif instance.image:
        _take_from_image(instance, tree, kind)
    else:
        raise InstanceError(
            f"{instance.id}: no archive, no image, and no clone of {instance.repo} "
            f"{f'in {clones}' if clones else ''}. Name a directory of clones with --repos."
        )
    if hide:
        _hide_tests(instance, place)
    # Ignored files and all: the state is what the task says.
    tree.commit()
    return place


def _hide_tests(instance: Instance, place: Path) -> None:
    """Remove the files of tests that must fail, as SWE-smith does in its second edition.

    Where a patch brings the hidden tests, the state has none of them to begin with.
    """
    if instance.test_patch or instance.schema_name == "harbor":
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
                extract(tar, [member], place)
    except (OSError, tarfile.TarError) as error:
        raise InstanceError(f"{archive} can't be unpacked: {error}.") from error


def _clone_of(instance: Instance, clones: Path | None) -> Path | None:
    """Return the git directory of a clone of the instance's repository, where there is one."""
    if not (clones and instance.repo):
        return None
    for name in (instance.repo.replace("/", "__"), instance.repo, instance.repo.rpartition("/")[2]):
        found = clones / name
        if found.is_dir():
            bare = (found / "HEAD").is_file()
            return found if bare else Repository.find(found).git_dir
    return None


def _check_out(instance: Instance, place: Path, git_dir: Path, *, hide: bool) -> None:
    """Write a revision's files."""
    revision = instance.base_commit
    try:
        if instance.schema_name == "swe-smith":
            revision = _smith_revision(git_dir, revision, hide=hide)
        write_files(git_dir, f"{revision}^{{commit}}", place)
    except GitError as error:
        raise InstanceError(f"{instance.id}: {git_dir} has no {revision}.") from error


def _take_from_image(instance: Instance, tree: ScratchRepository, kind: SandboxKind) -> None:
    """Write the files that the instance's image holds, with the bug where that is not in them."""
    engine = InstanceEngine("podman" if kind == "podman" else "docker", instance.image)
    packed = tree.place.with_name(tree.place.name + ".tar")
    with packed.open("wb") as file:
        write_state(engine.connect, engine.as_built(), instance.id, file)
    _unpack(packed, ".", tree.place)
    packed.unlink()
    if not instance.bug_patch:
        return
    # The image is the repository's, not the instance's: its tree is the one without the bug.
    try:
        tree.apply(instance.bug_patch.encode())
    except GitError as error:
        raise InstanceError(
            f"{instance.id}: its bug does not apply to {instance.image}: {error.detail}"
        ) from error


def _smith_revision(git_dir: Path, branch: str, *, hide: bool) -> str:
    """Return the mirror branch's commit, wherever the clone keeps it.

    Where its last commit only removes the hidden tests and they are wanted, the one before.
    """
    environment = SAFE_ENVIRONMENT | {"GIT_DIR": str(git_dir)}
    for name in (f"refs/heads/{branch}", f"refs/remotes/origin/{branch}"):
        try:
            subject = run_git(("log", "-1", "--format=%s", name, "--"), environment, git_dir)
        except GitError:
            continue
        return f"{name}~1" if not hide and subject.startswith(_TESTS_REMOVED) else name
    return branch
