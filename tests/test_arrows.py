"""Imports point one way: every package knows only those below it, and no import circle exists."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ORDER = (
    "reapair",
    "agent.surfaces.cli",
    "agent.surfaces",
    "agent.lab, agent.demo",
    "agent.surfaces.report",
    "agent.serve",
    "agent.solve",
    "agent.attempts",
    "agent.guided",
    "agent.loop",
    "agent.handover",
    "agent.proof",
    "agent.workspace",
    "agent.model",
    "agent.log",
    "agent.settings",
    "agent.words",
    "agent.result",
    "prompts",
    "tools",
    "sandbox",
)
"""From the edges to the ground. A module belongs to the longest name that its own begins with."""

RANKS = {name: rank for rank, line in enumerate(ORDER) for name in line.split(", ")}


@cache
def imports() -> dict[str, set[str]]:
    """Return what each module of the product imports: at its top, in functions, for types only."""
    files = {_name(path): path for path in _files()}
    return {name: set(_imported(path, files)) - {name} for name, path in files.items()}


def _files() -> Iterator[Path]:
    yield from ROOT.glob("reapair/*.py")
    for room in ("agent", "prompts", "sandbox", "tools"):
        found = (ROOT / room).rglob("*.py")
        yield from (path for path in found if "demo/repository" not in path.as_posix())


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imported(path: Path, files: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the whole name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.partition(".")[0] == "reapair":
                inner = name.removeprefix("reapair.")
                yield next((n for n in (inner, inner.rpartition(".")[0]) if n in files), "reapair")


def _package(module: str) -> str:
    """Return the name in ORDER that a module belongs to."""
    fitting = [name for name in RANKS if f"{module}.".startswith(f"{name}.")]
    assert fitting, f"{module} belongs to no package: say in ORDER where it stands."
    return max(fitting, key=len)


def test_no_import_points_up() -> None:
    arrows = [(a, b) for a, found in imports().items() for b in found]
    up = [f"{a} -> {b}" for a, b in arrows if RANKS[_package(a)] > RANKS[_package(b)]]
    up += [f"{a} -> {b}" for a, b in arrows if a == "prompts"]
    assert not up, "These imports point up:\n" + "\n".join(up)


def test_no_circle() -> None:
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_module_is_too_long() -> None:
    long = [str(path) for path in _files() if len(path.read_text("utf-8").splitlines()) > 400]
    assert not long, "A module over 400 lines is two modules."
