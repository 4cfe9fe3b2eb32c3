"""The environment of a run: what the user says counts, then what the repository says itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from reapair.sandbox import Environment, SandboxError, SetupError, choose
from reapair.sandbox.containers.docker_engine import DockerEngine
from reapair.sandbox.git.repository import GitStore
from reapair.sandbox.recipes.build import build_image, named_build, names_dockerfile
from reapair.sandbox.recipes.find import Build, Recipe, command_in, find, manifests
from reapair.sandbox.recipes.snapshot_files import SnapshotFiles

if TYPE_CHECKING:
    from reapair.agent.settings.settings import Settings
    from reapair.sandbox import Engine, Sandbox
    from reapair.sandbox.git.snapshot import Snapshot

FAILED = (
    "The set-up that was found has failed ({}), so the run goes on without it. "
    "Give the right one with --setup-command, or an image that has everything with --image."
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the sandboxes of a run start from.

    Attributes:
        engine, environment: make them.
        project: folder that the tests run in, "" for the top.
        test_command: the user's, else the repository's, else None.
        notes: what people should know, one line each.
        failure: the end of what a failed set-up printed.
    """

    engine: Engine
    environment: Environment
    project: str
    test_command: str | None
    notes: tuple[str, ...] = ()
    failure: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """What the log keeps of it."""
        return {
            "sandbox": self.engine.kind,
            "project": self.project,
            "test_command": self.test_command,
            "reused": self.environment.reused,
            "notes": self.notes,
            "failure": self.failure,
        }


def prepare(
    snapshot: Snapshot,
    store: GitStore,
    settings: Settings,
    say: Callable[[str], None],
    own: Engine | None = None,
) -> Prepared:
    """Choose the engine and install what the tests need, or find it installed.

    Args:
        snapshot: the repository's files.
        store: has them.
        settings: those of the user win over what the repository says.
        say: is told what happens, line by line.
        own: an engine of the caller's, in place of all choice.

    Raises SandboxError when there is no engine, or the user's own set-up command fails.
    """
    files = SnapshotFiles(store, snapshot.tree)
    chosen_by_user = bool(settings.setup_command or settings.image)
    start = _folder(store.repository.top, settings.project)
    recipe = find(files, start, container=not chosen_by_user, last_tag=files.last_tag)
    engine, notes = (own, []) if own else _engine(recipe, files, settings, start, say)
    engine.sweep()
    environment, failure = _install(engine, recipe, snapshot, files, settings, say)
    if failure:
        notes.append(FAILED.format(failure.rpartition("\n")[2]))
    own_tests = settings.test_command and command_in(recipe.directory, settings.test_command)
    return Prepared(
        engine,
        environment,
        recipe.directory,
        own_tests or recipe.test_command,
        (*recipe.notes, *notes, *engine.caveats()),
        failure,
    )


def _install(
    engine: Engine,
    recipe: Recipe,
    snapshot: Snapshot,
    files: SnapshotFiles,
    settings: Settings,
    say: Callable[[str], None],
) -> tuple[Environment, str]:
    """Return the environment, and how the set-up ended if it was found and has failed."""
    loading: list[Sandbox] = []

    def fill(sandbox: Sandbox) -> None:
        loading.append(sandbox)
        # What the repository does not hold is not shown to a network.
        snapshot.load(sandbox, extras=False)
        loading.clear()

    def show(line: str) -> None:
        if not loading:
            say(line)

    if settings.setup_command:
        command = command_in(recipe.directory, settings.setup_command)
        return engine.prepare(manifests(files), command, fill, show), ""
    try:
        return engine.prepare(recipe.manifests, recipe.setup_command, fill, show), ""
    except SetupError as error:
        failure = error.tail or str(error)
        return engine.prepare(b"", None, fill, show), failure


def _folder(top: Path, start: Path | None) -> str:
    """Return where the search for a project starts, relative to the top of the repository."""
    relative = start.relative_to(top) if start else Path()
    return "" if relative == Path() else relative.as_posix()


def _engine(
    recipe: Recipe,
    files: SnapshotFiles,
    settings: Settings,
    start: str,
    say: Callable[[str], None],
) -> tuple[Engine, list[str]]:
    """Return an engine, on the repository's image where the user names none and it works."""
    image, folder = (settings.image, start) if settings.image else (recipe.image, recipe.directory)
    to_build = names_dockerfile(image) if image else recipe.build is not None
    if not to_build and (settings.image or not image):
        return choose(settings.sandbox, image=settings.image, trust=True), []
    engine = choose(settings.sandbox, trust=True)
    try:
        if not isinstance(engine, DockerEngine):
            raise SandboxError(f"{engine.kind} cannot use an image; docker and podman can.")
        if to_build:
            build = named_build(image, files, folder) if image else recipe.build
            image = build_image(engine, files, cast(Build, build), say)
        return choose(engine.kind, image=image, trust=True), []
    except SandboxError as error:
        if settings.image:
            raise
        reason = " ".join(str(error).split())[:500]
        return engine, [f"The repository's image cannot be used, ours is taken. {reason}"]
