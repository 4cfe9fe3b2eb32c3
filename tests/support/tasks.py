"""Tasks for the loop: three small ones of our own, and SWE-smith-style ones from a directory."""

from __future__ import annotations

import ast
import json
import shlex
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reapair.agent.lab.evaluate.unpack import extract

Edit = tuple[str, str, str]
"""Path, old_str, new_str: the arguments of one `edit` call."""


@dataclass(frozen=True)
class Task:
    """An issue, its repository, the right edits, and edits that break something else."""

    name: str
    issue: str
    repository: Path
    gold: list[Edit]
    sabotage: list[Edit]
    setup_command: str | None = None
    look: str = "def "


def turn(name: str, **arguments: Any) -> dict[str, Any]:
    """Return one scripted answer that makes one call."""
    return {"reasoning": f"Now {name}.", "tool_calls": [{"name": name, "arguments": arguments}]}


def script(task: Task, edits: list[Edit]) -> list[dict[str, Any]]:
    """Look, edit, submit, confirm."""
    changes = [turn("edit", path=path, old_str=old, new_str=new) for path, old, new in edits]
    submit = turn("submit", summary="Done.")
    return [turn("search", pattern=task.look), *changes, submit, submit]


def commit(directory: Path) -> Path:
    """Make a directory a git repository with one commit."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Start"]):
        subprocess.run(["git", *identity, *arguments], cwd=directory, check=True)
    return directory


CALC = '''"""Small sums."""


def mean(values):
    """Return the arithmetic mean; 0 for no values."""
    if not values:
        return 0
    return sum(values) / (len(values) - 1)


def spread(values):
    """Return the difference of the largest and the smallest value."""
    return max(values) - min(values)


def clamp(value, low, high):
    """Return the value, moved into the range."""
    return max(low, min(value, high))
'''

CALC_TESTS = """import pytest

from calc import clamp, mean, spread


def test_mean_of_nothing():
    assert mean([]) == 0


def test_mean_of_zeros():
    assert mean([0, 0]) == 0


@pytest.mark.parametrize("values, expected", [([1, 5], 4), ([3], 0), ([-1, 1], 2)])
def test_spread(values, expected):
    assert spread(values) == expected


@pytest.mark.parametrize("value", [-5, 0, 3, 9, 10, 11, 99])
def test_clamp(value):
    assert 0 <= clamp(value, 0, 10) <= 10
"""

SLUG = '''"""Names for URLs."""

import re


def slug(title):
    """Lower case, words joined by single dashes."""
    return re.sub(r"[^a-z0-9]", "-", title.lower()).strip("-")


def shorten(text, width):
    """Cut a text to a width, with an ellipsis when something was cut."""
    if len(text) <= width:
        return text
    return text[: width - 1] + "…"
'''

SLUG_TESTS = """import pytest

from urls.names import shorten, slug


@pytest.mark.parametrize("title", ["one", "One", "one two", " one "])
def test_slug(title):
    assert slug(title).startswith("one")


@pytest.mark.parametrize("width", range(2, 12))
def test_shorten(width):
    assert len(shorten("a longer text", width)) == width
"""

INVENTORY = '''"""What is in the store."""


class Inventory:
    def __init__(self):
        self._items = {}

    def add(self, name, count=1):
        self._items[name] = self._items.get(name, 0) + count

    def remove(self, name, count=1):
        if self._items.get(name, 0) < count:
            raise KeyError(name)
        self._items[name] -= count

    def total(self):
        return sum(self._items.values())

    def names(self):
        return sorted(self._items)
'''

INVENTORY_TESTS = """import pytest

from inventory import Inventory


@pytest.fixture()
def store():
    store = Inventory()
    store.add("nut", 3)
    store.add("bolt")
    return store


@pytest.mark.parametrize("count", range(1, 10))
def test_total(store, count):
    store.add("nail", count)
    assert store.total() == 4 + count


def test_remove_too_many(store):
    with pytest.raises(KeyError):
        store.remove("bolt", 2)


def test_names(store):
    assert store.names() == ["bolt", "nut"]
"""


def own_tasks(directory: Path) -> list[Task]:
    """Write the three small tasks below `directory`."""
    layouts = {
        "calc": {"calc.py": CALC, "test_calc.py": CALC_TESTS},
        "slug": {
            "urls/__init__.py": "",
            "urls/names.py": SLUG,
            "tests/test_names.py": SLUG_TESTS,
            "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "-q"\npythonpath = ["."]\n',
        },
        "inventory": {
            "inventory.py": INVENTORY,
            "tests/test_inventory.py": INVENTORY_TESTS,
            "conftest.py": "",
        },
    }
    for name, files in layouts.items():
        for path, content in files.items():
            file = directory / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        commit(directory / name)
    return [
        Task(
            "calc",
            "mean() is too large: mean([2, 4]) gives 6.0 and mean([1]) fails",
            directory / "calc",
            gold=[("calc.py", "/ (len(values) - 1)", "/ len(values)")],
            sabotage=[("calc.py", "max(values) - min(values)", "max(values) + min(values)")],
        ),
        Task(
            "slug",
            "slug() gives double dashes: slug('a, b') is 'a--b'",
            directory / "slug",
            gold=[("urls/names.py", '"[^a-z0-9]"', '"[^a-z0-9]+"')],
            sabotage=[("urls/names.py", "width - 1", "width - 2")],
        ),
        Task(
            "inventory",
            "Names with no items left are still listed by names()",
            directory / "inventory",
            gold=[
                (
                    "inventory.py",
                    "return sorted(self._items)",
                    "return sorted(name for name, count in self._items.items() if count)",
                )
            ],
            sabotage=[("inventory.py", "raise KeyError(name)", "return")],
        ),
    ]


def shared_task(directory: Path, work: Path) -> Task:
    """Unpack one SWE-smith-style task (see its `instance.json`) into a repository below `work`."""
    instance = json.loads((directory / "instance.json").read_text())
    with tarfile.open(directory / "repo.tar.gz") as archive:
        extract(archive, archive, work)
    repository = work / instance["repo_dir"]
    requirements = " ".join(shlex.quote(each) for each in instance["requirements"])
    gold = list(_edits(instance["gold_patch"], repository))
    return Task(
        instance["instance_id"],
        instance["problem_statement"],
        repository,
        gold=gold,
        sabotage=list(_broken(repository, instance["bug_file"], instance["bug_function"])),
        setup_command=" && ".join([f"pip install {requirements}", *instance["install"]]),
    )


def _edits(patch: str, repository: Path) -> Iterator[Edit]:
    """Turn each hunk into an `edit`, with as much context as makes it unique."""
    path = ""
    texts: dict[str, list[str]] = {}
    lines = patch.splitlines(keepends=True)
    for index, line in enumerate(lines):
        if line.startswith("+++ b/"):
            path = line[6:].rstrip("\n")
            texts.setdefault(path, (repository / path).read_text().splitlines(keepends=True))
        if not line.startswith("@@"):
            continue
        body = []
        for each in lines[index + 1 :]:
            if each.startswith(("@@", "diff ")):
                break
            body.append(each)
        old = [each[1:] for each in body if each[0] in " -"]
        new = [each[1:] for each in body if each[0] in " +"]
        text = texts[path]
        start = int(line.split()[2][1:].split(",")[0]) - 1
        at = min(
            (i for i in range(len(text)) if text[i : i + len(old)] == old),
            key=lambda i: abs(i - start),
        )
        first, last = at, at + len(old)
        while "".join(text).count("".join(text[first:last])) > 1:
            first, last = max(0, first - 1), last + 1
        yield (
            path,
            "".join(text[first:last]),
            "".join(text[first:at] + new + text[at + len(old) : last]),
        )
        text[at : at + len(old)] = new


def _broken(repository: Path, bug_file: str, bug_function: str) -> Iterator[Edit]:
    """Make the longest function of each module beside the bug raise at once, but not the bug's."""
    for file in sorted((repository / bug_file).parent.glob("*.py")):
        source = file.read_text()
        functions = [
            node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef) and node.name not in bug_function
        ]
        if functions:
            path = str(file.relative_to(repository))
            yield path, *_raising(source, max(functions, key=_length))


def _length(node: ast.FunctionDef) -> int:
    return (node.end_lineno or 0) - node.lineno


def _raising(source: str, node: ast.FunctionDef) -> tuple[str, str]:
    lines = source.splitlines(keepends=True)
    first, last = node.lineno - 1, node.end_lineno or node.lineno
    body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
    at = body[0].lineno - 1
    raising = " " * body[0].col_offset + 'raise RuntimeError("broken")\n'
    return "".join(lines[first:last]), "".join([*lines[first:at], raising, *lines[at:last]])
