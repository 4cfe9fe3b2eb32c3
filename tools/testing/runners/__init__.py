"""The families of test runners, one file each, and the table that picks one."""

from __future__ import annotations

import re

from reapair.tools.testing.runners.base import Finished, Request, Runner, Tree, look
from reapair.tools.testing.runners.cargo import Cargo
from reapair.tools.testing.runners.go import Go
from reapair.tools.testing.runners.java import Java
from reapair.tools.testing.runners.node import Node
from reapair.tools.testing.runners.python import Python

__all__ = ["DEFAULT_COMMAND", "Finished", "Request", "Runner", "Tree", "choose", "found", "look"]

DEFAULT_COMMAND = "python -m pytest"

RUNNERS: tuple[Runner, ...] = (Node(), Go(), Cargo(), Java(), Python())
"""Asked in this order; the last takes everything."""

_PYTHON = re.compile(
    r"^(?:pyproject\.toml|setup\.(?:py|cfg)|tox\.ini|noxfile\.py|pytest\.ini|conftest\.py"
    r"|requirements\S*\.txt|\w+\.py)$"
)
_COMMANDS = (
    ("go.mod", "go test ./..."),
    ("Cargo.toml", "cargo test --offline"),
    ("mvnw", "sh ./mvnw -B -o test"),
    ("pom.xml", "mvn -B -o test"),
    ("gradlew", "sh ./gradlew --no-daemon --offline test"),
    ("build.gradle", "gradle --no-daemon --offline test"),
    ("build.gradle.kts", "gradle --no-daemon --offline test"),
)
_TARGET = re.compile(r"^(test|check)\s*:(?!=)", re.MULTILINE)


def choose(command: str, tree: Tree) -> Runner:
    """Return the first family that takes the command."""
    return next(runner for runner in RUNNERS if runner.takes(command, tree))


def found(tree: Tree) -> str:
    """Return the command that runs all tests of a repository whose owner names none.

    Python comes first, where its files are; then what the manifests say, then make.
    """
    if any(map(_PYTHON.match, tree.names)):
        return DEFAULT_COMMAND
    script = tree.scripts.get("test", "")
    if script.strip() and "no test specified" not in script:
        return "CI=1 npm test"
    for name, command in _COMMANDS:
        if name in tree.names:
            return command
    for name in ("GNUmakefile", "makefile", "Makefile"):
        if target := _TARGET.search(tree.texts.get(name, "")):
            return f"make {target[1]}"
    return DEFAULT_COMMAND
