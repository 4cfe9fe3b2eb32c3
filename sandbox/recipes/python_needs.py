"""Read what a Python project needs for its tests, from every place that declares it."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from packaging.utils import canonicalize_name

from reapair.sandbox.recipes.part import Project, strings, table
from reapair.sandbox.recipes.requirement import (
    is_name,
    poetry_requirements,
    requirements,
)

TEST, DEVELOPMENT = ("test", "tests", "testing"), ("dev", "develop", "development")
"""Names of extras and groups for tests; the second are used only without any of the first."""

_REQUIREMENT_FILE = re.compile(
    r"[\w.-]{0,60}requirements[\w.-]{0,60}\.txt|requirements/[\w.-]{1,60}\.txt"
    r"|tests?/[\w.-]{0,60}requirements[\w.-]{0,60}\.txt"
)
_FOREIGN = re.compile(r"^(py\d+|docs?|lint|typing|mypy|build|release|publish)$")


@dataclass
class Needs:
    """What to install.

    Attributes:
        extras: of the project.
        requirements: lines for pip.
        files: requirement files, relative to the project.
    """

    extras: list[str] = field(default_factory=list)
    requirements: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def add(self, other: Needs) -> None:
        """Add the other's needs, each once, in order."""
        for mine, more in (
            (self.extras, other.extras),
            (self.requirements, other.requirements),
            (self.files, other.files),
        ):
            mine += [each for each in dict.fromkeys(more) if each not in mine]


def needs_of_tests(project: Project) -> Needs:
    """Return what a project wants installed for its tests, beside itself."""
    found = list(_named(project))
    needs = Needs()
    for name, need in found:
        if name in TEST:
            needs.add(need)
    if needs == Needs():
        for name, need in found:
            if name in DEVELOPMENT:
                needs.add(need)
    return needs


def own_needs(project: Project) -> Needs:
    """Return what a project needs to run, as far as its files declare it."""
    pyproject = project.toml("pyproject.toml")
    poetry = table(pyproject, "tool", "poetry")
    needs = Needs(
        requirements=requirements(strings(table(pyproject, "project").get("dependencies")))
    )
    needs.requirements += poetry_requirements(table(poetry, "dependencies"))
    needs.requirements += poetry_requirements(table(project.toml("Pipfile"), "packages"))
    needs.files = [
        name for name in ("requirements.txt", "requirements/base.txt") if project.has(name)
    ]
    return needs


def is_package(project: Project) -> bool:
    """Return whether a project is meant to be installed, not just run in its folder."""
    pyproject = project.toml("pyproject.toml")
    if table(pyproject, "tool", "poetry").get("package-mode") is False:
        return False
    if table(pyproject, "tool", "uv").get("package") is False:
        return False
    metadata = table(pyproject, "project")
    if project.has("setup.py") or "build-system" in pyproject:
        return True
    if pyproject and "metadata" in ini(project, "setup.cfg"):
        return True
    # By the rules it is none without a build system, but some of these work only installed.
    wants = {"scripts", "gui-scripts", "entry-points"} & metadata.keys()
    return bool(metadata) and (bool(wants) or any(n.startswith("src/") for n in project.names))


def ini(project: Project, name: str) -> dict[str, dict[str, str]]:
    """Return the sections of a file in INI format; {} for what is missing or broken."""
    parser = configparser.ConfigParser(interpolation=None, strict=False, default_section="")
    try:
        parser.read_string(project.text(name))
    except (configparser.Error, ValueError, AttributeError, TypeError):
        return {}
    return {section: dict(parser[section]) for section in parser.sections()}


def _named(project: Project) -> Iterator[tuple[str, Needs]]:
    """Yield all optional needs by their normalised name."""
    pyproject = project.toml("pyproject.toml")
    for extra in (*_extras(pyproject), *_setuptools_extras(project)):
        if is_name(extra):
            yield canonicalize_name(extra), Needs([extra])
    groups = table(pyproject, "dependency-groups")
    for group in groups:
        yield (
            canonicalize_name(group),
            Needs(requirements=requirements(_group(groups, group, set()))),
        )
    for name, lines in _tool_groups(pyproject):
        yield canonicalize_name(name), Needs(requirements=lines)
    pipfile = project.toml("Pipfile")
    yield "dev", Needs(requirements=poetry_requirements(table(pipfile, "dev-packages")))
    for file in sorted(filter(_REQUIREMENT_FILE.fullmatch, project.names)):
        words = set(re.split(r"[-_./]", file.removesuffix(".txt").lower()))
        if not any(map(_FOREIGN.match, words)):
            for name in (*TEST, *DEVELOPMENT):
                if name in words:
                    yield name, Needs(files=[file])
    yield "test", _tox(project, pyproject)
    yield "test", Needs(requirements=requirements(_tests_require(project)))


def _extras(pyproject: dict[str, Any]) -> list[str]:
    return [
        *table(pyproject, "project", "optional-dependencies"),
        *table(pyproject, "tool", "poetry", "extras"),
        *table(pyproject, "tool", "flit", "metadata", "requires-extra"),
        *table(pyproject, "tool", "setuptools", "dynamic", "optional-dependencies"),
    ]


def _setuptools_extras(project: Project) -> list[str]:
    """Return extras of setup.cfg and setup.py; the latter is only looked at, never run."""
    names = [*ini(project, "setup.cfg").get("options.extras_require", {})]
    source = project.text("setup.py")
    if "extras_require" in source:
        # Wrong guesses cost a warning of pip's.
        quoted = re.findall(r"""["']([A-Za-z_-]{3,20})["']\s*[:\]]""", source)
        names += [name for name in quoted if canonicalize_name(name) in (*TEST, *DEVELOPMENT)]
    return names


def _group(groups: dict[str, Any], name: str, seen: set[str]) -> list[str]:
    """Return the lines of a dependency group and of those it includes, each group once."""
    if canonicalize_name(name) in seen:
        return []
    seen.add(canonicalize_name(name))
    lines: list[str] = []
    for key, entries in groups.items():
        named = canonicalize_name(key) == canonicalize_name(name) and isinstance(entries, list)
        for entry in entries if named else []:
            if isinstance(entry, str):
                lines.append(entry)
            elif isinstance(included := table(entry).get("include-group"), str):
                lines += _group(groups, included, seen)
    return lines


def _tool_groups(pyproject: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield the groups that tools had before there was a standard."""
    tool = table(pyproject, "tool")
    poetry = table(tool, "poetry")
    yield "dev", poetry_requirements(table(poetry, "dev-dependencies"))
    for name, group in table(poetry, "group").items():
        yield name, poetry_requirements(table(group, "dependencies"))
    for name, lines in table(tool, "pdm", "dev-dependencies").items():
        yield name, requirements(strings(lines))
    yield "dev", requirements(strings(table(tool, "uv").get("dev-dependencies")))
    for name, environment in table(tool, "hatch", "envs").items():
        lines = [
            *strings(table(environment).get("dependencies")),
            *strings(table(environment).get("extra-dependencies")),
        ]
        known = {"hatch-test": "test", "default": "dev"}
        yield known.get(name, name), requirements(lines)


def _tox(project: Project, pyproject: dict[str, Any]) -> Needs:
    """Return what tox installs into every environment; lines for some only are left out."""
    modern = table(pyproject, "tool", "tox", "env_run_base")
    needs = Needs(
        [extra for extra in strings(modern.get("extras")) if is_name(extra)],
        requirements(strings(modern.get("deps"))),
    )
    section = ini(project, "tox.ini").get("testenv", {})
    for line in section.get("deps", "").split("\n"):
        file = re.fullmatch(r"\s*-r\s*(?:\{toxinidir\}/)?([\w./-]{1,100})\s*", line)
        if file and project.has(file[1]):
            needs.files.append(file[1])
        needs.requirements += requirements([line])
    needs.extras += [e for e in re.split(r"[\s,]+", section.get("extras", "")) if is_name(e)]
    return needs


def _tests_require(project: Project) -> list[str]:
    options = ini(project, "setup.cfg").get("options", {})
    lines = options.get("tests_require", "").split("\n")
    literal = re.search(r"tests_require\s*=\s*\[([^\]]{0,2000})\]", project.text("setup.py"))
    return lines + (re.findall(r"""["']([^"'\n]{1,200})["']""", literal[1]) if literal else [])
