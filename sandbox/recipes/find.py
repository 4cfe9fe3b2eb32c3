"""Find out from a repository's own files what it needs to run its tests."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from reapair.sandbox.recipes import compiled, devcontainer, node, python
from reapair.sandbox.recipes.devcontainer import Build, Devcontainer
from reapair.sandbox.recipes.part import PREAMBLE, PROBLEMS, Part, Project, table
from reapair.sandbox.recipes.snapshot_files import SnapshotFiles

__all__ = ["PROBLEMS", "Build", "Recipe", "command_in", "find", "manifests"]

_KEYED = (
    *("pyproject.toml", "setup.py", "setup.cfg", "requirements*.txt", "requirements/*.txt"),
    *("tox.ini", "*.lock", "Pipfile", "package.json", "package-lock.json", "pnpm-lock.yaml"),
    *("go.mod", "go.sum", "Cargo.toml", "pom.xml", "*.gradle", "*.gradle.kts"),
)
_STRONG = ("package.json", *compiled.MANIFESTS)
_WEAK = ("requirements.txt", "Pipfile", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to prepare a repository for its tests.

    Attributes:
        directory: the project's folder, "" for the top; the tests run there.
        image: the image to use, None for the built-in one.
        build: how to build an image instead.
        setup_command: a script for the shell, run at the top; None when there is nothing to do.
        test_command: runs the whole suite, from the top; None for plain pytest at the top.
        manifests: content of all files the set-up depends on.
        notes: messages for the user, one line each.
    """

    directory: str = ""
    image: str | None = None
    build: Build | None = None
    setup_command: str | None = None
    test_command: str | None = None
    manifests: bytes = b""
    notes: tuple[str, ...] = ()


def find(
    files: Mapping[str, bytes],
    directory: str = "",
    *,
    exact: bool = False,
    container: bool = True,
    last_tag: Callable[[], str] = str,
) -> Recipe:
    """Find out what the tests of a project need.

    Args:
        files: content of the repository's regular files, by path; untrusted.
        directory: where to start; "" for the top.
        exact: use this folder; otherwise the nearest project upwards.
        container: whether to use a devcontainer.json.
        last_tag: returns the tag nearest to the commit, for projects whose version comes from it.
    """
    project = Project(files, directory if exact else _nearest(files, directory))
    chosen = None
    if container:
        chosen = devcontainer.find(project) or devcontainer.find(Project(files))
    found = _languages(project, last_tag)
    language = found[0] if found else Part("")
    notes = [*(chosen.part.notes if chosen else ()), *language.notes]
    others = ", ".join(other.name for other in found[1:] if other.setup)
    if others:
        notes.append(f"Nothing is installed for {others}: --setup-command can do that.")
    test = language.test or ("python -m pytest" if project.directory else None)
    recipe = Recipe(
        directory=project.directory,
        image=chosen.image if chosen else None,
        build=chosen.build if chosen else None,
        setup_command=_setup(project, chosen, language),
        test_command=test and command_in(project.directory, test),
        manifests=_content(files, {*(chosen.part.reads if chosen else ()), *language.reads}),
        notes=tuple(notes),
    )
    return _with_own_settings(recipe, project)


def _with_own_settings(recipe: Recipe, project: Project) -> Recipe:
    """Return the recipe with the few settings that a repository may choose in `[tool.agent]`."""
    own = table(project.toml("pyproject.toml"), "tool", "agent")
    image, setup, test = (_word(own, key) for key in ("image", "setup-command", "test-command"))
    if image:
        recipe = replace(recipe, image=image, build=None)
    if setup:
        command = command_in(project.directory, setup)
        recipe = replace(recipe, setup_command=command, manifests=manifests(project.files))
    if test:
        recipe = replace(recipe, test_command=command_in(project.directory, test))
    return recipe


def manifests(files: Mapping[str, bytes]) -> bytes:
    """Return the content of files near the top that a set-up command probably depends on."""
    near = (path for path in files if path.count("/") <= 1)
    return _content(files, (path for path in near if any(fnmatchcase(path, g) for g in _KEYED)))


def command_in(directory: str, command: str) -> str:
    """Return a command that runs the given one in a folder instead of at the top."""
    return f"cd {shlex.quote(f'./{directory}')} || exit; {command}" if directory else command


def _nearest(files: Mapping[str, bytes], directory: str) -> str:
    """Return the nearest folder upwards that is a project, or else one that may be."""
    weak = None
    while True:
        project = Project(files, directory)
        if any(map(project.has, _STRONG)) or python.is_strong(project):
            return directory
        if weak is None and any(map(project.has, _WEAK)):
            weak = directory
        if not directory:
            return weak or ""
        directory = posixpath.dirname(directory)


def _languages(project: Project, last_tag: Callable[[], str]) -> list[Part]:
    """Return the parts for each language of a project, the most important first."""
    script, snakes = node.part(project), python.part(project, last_tag)
    tested = [script] if script and script.test else []
    found = [*tested, *compiled.parts(project)]
    if snakes:
        found.insert(0 if python.is_strong(project) else len(found), snakes)
    return found + ([script] if script and not tested else [])


def _setup(project: Project, chosen: Devcontainer | None, language: Part) -> str | None:
    """Return the whole script; in a devcontainer's image pytest is installed if possible."""
    steps = (chosen.part.setup if chosen else "") + language.setup
    if chosen and (chosen.image or chosen.build) and not language.setup:
        steps += "attempt pytest pip install -q --retries 1 --timeout 15 pytest\ntrue\n"
    return PREAMBLE + command_in(project.directory, steps) if steps else None


def _word(own: Mapping[str, Any], key: str) -> str | None:
    """Return a string of the repository's own settings."""
    value = own.get(key, own.get(key.replace("-", "_")))
    return value if isinstance(value, str) and value.strip() and "\0" not in value else None


def _content(files: Mapping[str, bytes], paths: Iterable[str]) -> bytes:
    wanted = sorted(path for path in paths if path in files)
    if isinstance(files, SnapshotFiles):
        files.fetch(wanted)
    names = (path.encode("utf-8", "surrogateescape") for path in wanted)
    parts = (part for path, name in zip(wanted, names, strict=True) for part in (name, files[path]))
    return b"".join(b"%d:" % len(part) + part for part in parts)
