"""JavaScript projects: the package manager of their lock file, and their test script."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from typing import Any

from reapair.sandbox.recipes.part import Part, Project, stop, table

_LOCKS = {
    "pnpm-lock.yaml": "pnpm",
    "yarn.lock": "yarn",
    "package-lock.json": "npm",
    "npm-shrinkwrap.json": "npm",
}
_PLACEHOLDER = "no test specified"
_MANAGER = re.compile(r"(npm|pnpm|yarn)@(\d{1,4}(?:\.\d{1,4}){0,2})\b")
_MEMBERS_LIMIT = 200

_BEGIN = f"""command -v node > /dev/null || {
    stop("There is no Node.js in the image. Give one that has with --image, such as node:22.")
}
export CI=1 npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
"""

_END = "rm -rf ~/.npm ~/.cache/yarn ~/.local/share/pnpm\n"


def part(project: Project) -> Part | None:
    """Return how to install a JavaScript project, None where there is none."""
    package = _package(project)
    if not package:
        return None
    script = table(package, "scripts").get("test")
    tested = isinstance(script, str) and script.strip() and _PLACEHOLDER not in script
    place, lock = _lock(project)
    manager, version = _LOCKS.get(lock, "npm"), ""
    if named := _MANAGER.match(str(_package(place).get("packageManager", ""))):
        manager, version = named[1], named[2]
    reads = [
        *place.present((lock,) if lock else ()),
        *_members(place),
        project.path("package.json"),
    ]
    setup = f"{_BEGIN}{_enter(project, place)}{_install(manager, version, bool(lock))}{_END}"
    return Part("JavaScript", setup, "CI=1 npm test" if tested else None, tuple(reads))


def _package(project: Project) -> dict[str, Any]:
    try:
        return table(json.loads(project.text("package.json") or "null"))
    except (ValueError, RecursionError):
        return {}


def _lock(project: Project) -> tuple[Project, str]:
    """Return the nearest folder with a lock file, and the file; a workspace's is at its top."""
    directory = project.directory
    while True:
        place = Project(project.files, directory)
        for name in _LOCKS:
            if place.has(name):
                return place, name
        if not directory:
            return project, ""
        directory = posixpath.dirname(directory)


def _members(place: Project) -> list[str]:
    found = [
        name
        for name in sorted(place.names)
        if posixpath.basename(name) == "package.json" and "node_modules/" not in name
    ]
    return [place.path(name) for name in found[:_MEMBERS_LIMIT]]


def _enter(project: Project, place: Project) -> str:
    way = posixpath.relpath(place.directory or ".", project.directory or ".")
    return "" if way == "." else f"cd -- {shlex.quote(way)}\n"


def _install(manager: str, version: str, locked: bool) -> str:
    failure = stop("The packages could not be installed.")
    if manager == "npm":
        exact = "attempt 'the locked packages' npm ci -s || " if locked else ""
        return f"{exact}attempt 'the packages' npm install -s --no-save || {failure}\n"
    # npx runs these two at the version the project names, because images rarely have them.
    major = int(version.partition(".")[0] or 1)
    call = f"npx --yes {manager}@{version}" if version else f"npx --yes {manager}"
    if manager == "yarn" and major > 1:
        call = f"npx --yes corepack yarn@{version}"
    flags = "--immutable" if manager == "yarn" and major > 1 else "--frozen-lockfile"
    exact = f"attempt 'the locked packages' {call} install {flags} || " if locked else ""
    return f"{exact}attempt 'the packages' {call} install || {failure}\n"
