"""Recipes of repositories that are given as texts by path."""

from __future__ import annotations

import subprocess

from reapair.sandbox.recipes.find import Recipe, find
from reapair.sandbox.recipes.part import Project
from reapair.sandbox.recipes.python_needs import Needs, needs_of_tests

BUILD = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
PROJECT = f'{BUILD}[project]\nname = "demo"\nversion = "1"\ndependencies = ["six>=1"]\n'
EXTRAS = PROJECT + "[project.optional-dependencies]\n"


def recipe(files: dict[str, str], directory: str = "", **options: object) -> Recipe:
    content = {path: text.encode() for path, text in files.items()}
    return find(content, directory, **options)  # type: ignore[arg-type]


def script(files: dict[str, str], directory: str = "", **options: object) -> str:
    found = recipe(files, directory, **options).setup_command or ""
    for shell in (["bash", "-n"], ["sh", "-n"]):
        subprocess.run(shell, input=found.encode(), check=True)
    return found


def needs(files: dict[str, str]) -> Needs:
    return needs_of_tests(Project({path: text.encode() for path, text in files.items()}))
