"""Python projects: what a set-up must install, and the files it depends on."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator

from packaging.utils import canonicalize_name

from reapair.sandbox.recipes import python_script as script
from reapair.sandbox.recipes import python_version
from reapair.sandbox.recipes.part import Part, Project, inside, strings, table
from reapair.sandbox.recipes.pytest_needs import plugins
from reapair.sandbox.recipes.python_needs import Needs, ini, is_package, needs_of_tests, own_needs
from reapair.sandbox.recipes.requirement import (
    LOCK_FILES,
    is_name,
    locked_versions,
    requirements,
)

_MANIFESTS = ("pyproject.toml", "setup.py", "setup.cfg", "Pipfile", "tox.ini")
_LOCK_LIMIT = 16 * 1024 * 1024

_FROM_TAGS = re.compile(
    r"setuptools.scm|hatch.vcs|flit.scm|\bpbr\b|tool\.pdm\.version|dynamic.versioning"
)
_NUMBER = re.compile(r"\d{1,9}(\.\d{1,9}){1,3}((a|b|rc)\d{1,9})?")
_VERSION_VARIABLES = ("SETUPTOOLS_SCM_PRETEND_VERSION", "PBR_VERSION", "PDM_BUILD_SCM_VERSION")

_COMPILED = re.compile(r"\.(c|cc|cpp|cxx|h|hpp|pyx|pxd|rs|f|f90)$")
_COMPILES = re.compile(
    r"ext_modules|ext-modules|Extension\(|cffi_modules|rust_extensions|mesonpy|scikit_build"
    r"|maturin|[Cc]ython"
)
_SOURCES_LIMIT = 400

_INCLUDE = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[\s=]*(\S{1,200})", re.MULTILINE)
_FILES_LIMIT = 50


def is_strong(project: Project) -> bool:
    """Return whether the folder is mainly a Python project."""
    return is_package(project) or "project" in project.toml("pyproject.toml")


def part(project: Project, last_tag: Callable[[], str] = str) -> Part | None:
    """Return how to install a Python project, None where there is none.

    Args:
        project: the folder.
        last_tag: returns the tag nearest to the checked-out commit.
    """
    lists = [name for name in project.names if re.fullmatch(r"requirements[\w.-]*\.txt", name)]
    if not any(map(project.has, (*_MANIFESTS, *lists, "requirements/base.txt"))):
        return None
    package, needs = is_package(project), needs_of_tests(project)
    if not package:
        needs.add(own_needs(project))
    needs.add(Needs(requirements=plugins(project)))
    if not package and needs == Needs():
        return Part("Python")
    versions, notes = _locked(project)
    sources = list(_compiled_sources(project))
    if sources:
        notes.append("Compiled modules are built once: tests do not see changes to their sources.")
    if package:
        own = _dependencies(project, needs.extras)
        source = "src" if any(name.startswith("src/") for name in project.names) else "."
        locked = bool(versions)
        steps = script.install_project(needs, _siblings(project), own, source, lock=locked)
    else:
        steps = script.install_requirements(needs, lock=bool(versions))
    name = _name(project)
    setup = [
        *(script.BEGIN, python_version.check(project)),
        *(script.unless_installed(name) if name else "", script.PYTEST, script.lock(versions)),
        script.compiler() if sources else "",
        *(_version(project, last_tag), steps, script.install_files(needs.files)),
        script.UNDECLARED,
    ]
    reads = (*project.present(_MANIFESTS), *_closure(project, [*lists, *needs.files]), *sources)
    return Part("Python", "".join(setup), None, tuple(dict.fromkeys(reads)), tuple(notes))


def _name(project: Project) -> str:
    pyproject = project.toml("pyproject.toml")
    for name in (
        table(pyproject, "project").get("name"),
        table(pyproject, "tool", "poetry").get("name"),
        table(ini(project, "setup.cfg"), "metadata").get("name"),
    ):
        if isinstance(name, str) and is_name(name):
            return name
    return ""


def _dependencies(project: Project, extras: list[str]) -> list[str] | None:
    """Return a project's dependencies; None where only building it shows them."""
    pyproject = project.toml("pyproject.toml")
    metadata = table(pyproject, "project")
    if table(pyproject, "tool", "poetry", "dependencies"):
        return own_needs(project).requirements
    listed = table(ini(project, "setup.cfg"), "options").get("install_requires")
    if not metadata and listed:
        return requirements(listed.split("\n"))
    if not metadata or "dependencies" in strings(metadata.get("dynamic")):
        return None
    optional = table(metadata, "optional-dependencies")
    lines = [line for extra in extras for line in strings(optional.get(extra))]
    return own_needs(project).requirements + requirements(lines)


def _siblings(project: Project) -> Iterator[str]:
    """Yield folders of projects in the same tree that this one depends on by uv's settings."""
    sources = table(project.toml("pyproject.toml"), "tool", "uv", "sources")
    for name, source in sources.items():
        path = table(source).get("path")
        if isinstance(path, str):
            if inside(project.path(path)) and project.has(f"{path}/pyproject.toml"):
                yield path
        elif table(source).get("workspace") is True:
            yield from _members(project, name)


def _members(project: Project, name: str) -> Iterator[str]:
    for file in sorted(project.files):
        directory = posixpath.dirname(file)
        if posixpath.basename(file) != "pyproject.toml" or directory == project.directory:
            continue
        if canonicalize_name(_name(Project(project.files, directory))) == canonicalize_name(name):
            yield posixpath.relpath(directory or ".", project.directory or ".")


def _locked(project: Project) -> tuple[list[str], list[str]]:
    """Return the locked versions and notes; a workspace has one lock file at its top."""
    notes: list[str] = []
    for directory in (project.directory, ""):
        place = Project(project.files, directory)
        for name in LOCK_FILES:
            text = place.text(name, _LOCK_LIMIT)
            versions = locked_versions(name, text) if text else []
            if versions:
                return versions, notes
            if versions is None:
                notes.append(f"{name} locks too much to be followed here.")
    return [], notes


def _version(project: Project, last_tag: Callable[[], str]) -> str:
    """Return shell lines that set the version for build systems that read git's tags."""
    manifests = "".join(map(project.text, ("pyproject.toml", "setup.cfg", "setup.py")))
    if not _FROM_TAGS.search(manifests):
        return ""
    released = re.search(r"^Version: (\S{1,60})$", project.text("PKG-INFO"), re.MULTILINE)
    candidates = (last_tag(), released[1] if released else "", "1.0.0")
    number = next(found[0] for text in candidates if (found := _NUMBER.search(text)))
    return "export " + " ".join(f"{name}={number}" for name in _VERSION_VARIABLES) + "\n"


def _compiled_sources(project: Project) -> Iterator[str]:
    """Yield sources that an editable installation compiles."""
    manifests = "".join(map(project.text, ("pyproject.toml", "setup.py")))
    if _COMPILES.search(manifests):
        found = sorted(filter(_COMPILED.search, project.names))
        yield from map(project.path, found[:_SOURCES_LIMIT])


def _closure(project: Project, files: Iterable[str]) -> Iterator[str]:
    """Yield requirement files and those they include."""
    pending, seen = [project.path(file) for file in files], set[str]()
    while pending and len(seen) < _FILES_LIMIT:
        path = pending.pop(0)
        if path in seen or path not in project.files:
            continue
        seen.add(path)
        yield path
        here = Project(project.files, posixpath.dirname(path))
        pending += map(here.path, _INCLUDE.findall(here.text(posixpath.basename(path))))
