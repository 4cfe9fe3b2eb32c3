"""Go, Rust and Java: fetch and compile dependencies while there is network."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from reapair.sandbox.recipes.part import Part, Project, stop

_READS_LIMIT = 200


@dataclass(frozen=True, slots=True)
class _Language:
    """One language: its manifests, its tool, and the commands to run.

    `local` is a wrapper of the tool that a project may contain. `warm_up` may fail: it only does in
    advance what the first test run would do, or fetches what that run would miss.
    """

    name: str
    manifests: tuple[str, ...]
    tool: str
    image: str
    fetch: str
    warm_up: str
    test: str
    reads: str
    local: str = ""


_LANGUAGES = (
    _Language(
        name="Go",
        manifests=("go.mod",),
        tool="go",
        image="golang:1",
        fetch="{tool} mod download",
        warm_up="{tool} test -run '^$' ./...",
        test="{tool} test ./...",
        reads=r"go\.(mod|sum|work)",
    ),
    _Language(
        name="Rust",
        manifests=("Cargo.toml",),
        tool="cargo",
        image="rust:1",
        fetch="{tool} fetch -q",
        warm_up="{tool} test -q --no-run",
        test="{tool} test --offline",
        reads=r"Cargo\.(toml|lock)|rust-toolchain(\.toml)?",
    ),
    _Language(
        name="Java (Maven)",
        manifests=("pom.xml",),
        tool="mvn",
        image="maven:3",
        fetch="{tool} -B -q test-compile",
        warm_up="{tool} -B -q test -DfailIfNoTests=false -Dtest=NoSuchTest"
        " -Dsurefire.failIfNoSpecifiedTests=false",
        test="{tool} -B -o test",
        reads=r"pom\.xml|maven-wrapper\.properties",
        local="mvnw",
    ),
    _Language(
        name="Java (Gradle)",
        manifests=("build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"),
        tool="gradle",
        image="gradle:8",
        fetch="{tool} --no-daemon -q testClasses",
        warm_up="{tool} --no-daemon -q test --tests NoSuchTest",
        test="{tool} --no-daemon --offline test",
        reads=r"[\w.-]+\.gradle(\.kts)?|gradle\.properties|gradle-wrapper\.properties"
        r"|libs\.versions\.toml",
        local="gradlew",
    ),
)

MANIFESTS = tuple(name for language in _LANGUAGES for name in language.manifests)
"""Files that identify a project in one of these languages."""


def parts(project: Project) -> list[Part]:
    """Return how to install the project, for each of these languages that it uses."""
    return [
        _part(language, project)
        for language in _LANGUAGES
        if any(map(project.has, language.manifests))
    ]


def _part(language: _Language, project: Project) -> Part:
    local = bool(language.local) and project.has(language.local)
    tool = f"sh ./{language.local}" if local else language.tool
    needed = "java" if local else language.tool
    missing = stop(
        f"There is no {needed} in the image. Give one that has with --image, "
        f"such as {language.image}."
    )
    setup = (
        f"command -v {needed} > /dev/null || {missing}\n"
        f"attempt 'what it depends on' {language.fetch.format(tool=tool)} || "
        f"{stop('What the project depends on could not be fetched.')}\n"
        f"attempt 'the compiled tests' {language.warm_up.format(tool=tool)}\ntrue\n"
    )
    reads = [n for n in project.names if re.fullmatch(language.reads, posixpath.basename(n))]
    paths = tuple(map(project.path, sorted(reads)[:_READS_LIMIT]))
    return Part(language.name, setup, language.test.format(tool=tool), paths)
