"""Read devcontainer.json: an image, a build, a command; anything else is refused by name."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from dataclasses import dataclass
from typing import Any

from reapair.sandbox.base import WORKSPACE
from reapair.sandbox.recipes.part import Part, Project, inside, printable, table

FILES = (".devcontainer/devcontainer.json", ".devcontainer.json")

_IMAGE = re.compile(r"[a-z0-9][\w./:@-]{0,254}")
REFUSED = (
    *("initializeCommand", "runArgs", "mounts", "workspaceMount", "privileged"),
    *("capAdd", "securityOpt", "dockerComposeFile"),
)
"""Keys that would affect the host, or weaken the isolation from it."""

IGNORED = (
    *("features", "onCreateCommand", "updateContentCommand", "postStartCommand"),
    *("containerEnv", "remoteEnv"),
)
"""Keys of the standard that are not supported."""

_COMMENT = re.compile(
    r'("(?:[^"\\]|\\.|\\\Z)*(?:"|\Z))|//[^\n]*|/\*.*?(?:\*/|\Z)|,(?=\s*[}\]])', re.DOTALL
)
_SIZE_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Build:
    """An image to build: paths from the top of the tree, build arguments, a stage or ""."""

    dockerfile: str
    context: str
    arguments: tuple[tuple[str, str], ...] = ()
    target: str = ""


@dataclass(frozen=True, slots=True)
class Devcontainer:
    """The supported choices of a devcontainer.json: `image` or `build`, and `part` to run."""

    image: str | None
    build: Build | None
    part: Part


def find(project: Project) -> Devcontainer | None:
    """Return the project's devcontainer.json, None where there is none."""
    for name in FILES:
        if project.has(name):
            return _read(project, name)
    return None


def without_comments(text: str) -> str:
    """Return JSON from JSON with comments and trailing commas."""
    return _COMMENT.sub(lambda found: found[1] or " ", text)


def _read(project: Project, name: str) -> Devcontainer:
    try:
        given = json.loads(without_comments(project.text(name, _SIZE_LIMIT)))
    except (ValueError, RecursionError):
        note = f"{name} is not JSON and was ignored."
        return Devcontainer(None, None, Part(name, notes=(note,)))
    facts = table(given)
    notes = [f"{name}: {key} is refused." for key in REFUSED if key in facts]
    notes += [f"{name}: {key} is ignored." for key in IGNORED if key in facts]
    image = facts.get("image")
    if image is not None and not (isinstance(image, str) and _IMAGE.fullmatch(image)):
        notes.append(f"{name}: this image name is refused: {printable(str(image))}")
        image = None
    build = None if image else _build(project, name, facts, notes)
    command = _command(facts.get("postCreateCommand"))
    words = re.findall(r"[\w./-]{3,200}", command)
    reads = project.present((name, *words, *([build.dockerfile] if build else ())))
    setup = _setup(project, command) if command else ""
    return Devcontainer(image, build, Part(name, setup, None, reads, tuple(notes)))


def _build(project: Project, name: str, facts: dict[str, Any], notes: list[str]) -> Build | None:
    given = table(facts, "build")
    dockerfile = given.get("dockerfile", facts.get("dockerFile"))
    context = given.get("context", facts.get("context", "."))
    if dockerfile is None:
        return None
    folder = posixpath.dirname(project.path(name))
    if not (isinstance(dockerfile, str) and isinstance(context, str)):
        notes.append(f"{name}: build is not understood.")
        return None
    dockerfile, context = (
        posixpath.normpath(posixpath.join(folder, path)) for path in (dockerfile, context)
    )
    if not (inside(context) and inside(dockerfile) and dockerfile in project.files):
        notes.append(f"{name}: build is refused: its files are not all in the repository.")
        return None
    arguments = [
        (key, value)
        for key, value in sorted(table(given, "args").items())
        if isinstance(value, str) and "${" not in value
    ]
    target = given.get("target")
    context = "" if context == "." else context
    return Build(dockerfile, context, tuple(arguments), target if isinstance(target, str) else "")


def _command(given: Any) -> str:
    """Return a command as one shell line; it may be text, words, or a table of several."""
    if isinstance(given, dict):
        return " && ".join(filter(None, (_command(given[key]) for key in sorted(given))))
    if isinstance(given, list):
        return shlex.join(word for word in given if isinstance(word, str))
    if not isinstance(given, str) or "\0" in given:
        return ""
    return f"( {given.strip()}\n)" if given.strip() else ""


def _setup(project: Project, command: str) -> str:
    folder = posixpath.normpath(f"{WORKSPACE}/{project.directory}")
    command = re.sub(r"\$\{(container|local)WorkspaceFolder\}", lambda _: folder, command)
    command = f"cd {shlex.quote(folder)} && {command}"
    return (
        f"attempt postCreateCommand sh -c {shlex.quote(command)} || "
        "problem 'postCreateCommand has failed.'\n"
    )
