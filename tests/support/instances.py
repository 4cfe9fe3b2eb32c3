"""Small instances for tests of evaluations, written as benchmark files."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

BUG = "def mean(values):\n    return sum(values) / (len(values) - 1)\n"
FIX = "def mean(values):\n    return sum(values) / len(values)\n"
SHOWN = """import pytest

from calc import mean


def test_zero():
    assert mean([0, 0]) == 0


def test_mean():
    assert mean([2, 4]) == 3


@pytest.mark.parametrize("text", ["a b", "c"])
def test_text(text):
    assert text.split() == text.split(" ")
"""
HIDDEN = "from calc import mean\n\n\ndef test_one():\n    assert mean([5]) == 5\n"

FILES = {
    "calc.py": BUG,
    "tests/test_calc.py": SHOWN,
    "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "-q"\npythonpath = ["."]\n',
}
FAIL_TO_PASS = ["tests/test_calc.py::test_mean", "tests/test_hidden.py::test_one"]
PASS_TO_PASS = [
    "tests/test_calc.py::test_zero",
    "tests/test_calc.py::test_text[a b]",
    "tests/test_calc.py::test_text[c]",
]


def patch_between(place: Path, before: dict[str, str | None], after: dict[str, str | None]) -> str:
    """Return git's patch from one set of files to another; `place` is a new directory."""
    place.mkdir(parents=True)
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]

    def run(*arguments: str) -> str:
        call = ["git", *identity, *arguments]
        return subprocess.run(call, cwd=place, check=True, capture_output=True, text=True).stdout

    def write(files: dict[str, str | None]) -> None:
        for name, text in files.items():
            file = place / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                file.unlink()
            else:
                file.write_text(text)
        run("add", "-Af")

    run("init", "-q")
    write(before)
    run("commit", "-qm", "Before")
    write(after)
    return run("diff", "--cached", "--no-renames", "--binary")


def write_tasks(place: Path, number: int = 1, **columns: Any) -> Path:
    """Write so many instances, alike but for their ids, and return their JSON Lines file.

    `columns` win over what the rows say.
    """
    place.mkdir(parents=True, exist_ok=True)
    source = place / "source" / "testbed"
    for name, text in FILES.items():
        file = source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    with tarfile.open(place / "repo.tar.gz", "w:gz") as archive:
        archive.add(source, "testbed")
    (place / "test.patch").write_text(
        patch_between(place / "hidden", FILES, {"tests/test_hidden.py": HIDDEN})
    )
    row = {
        "repo": "local/calc",
        "patch": patch_between(place / "bug", {"calc.py": FIX}, {"calc.py": BUG}),
        "FAIL_TO_PASS": FAIL_TO_PASS,
        "PASS_TO_PASS": json.dumps(PASS_TO_PASS),
        "problem_statement": "mean([2, 4]) gives 6",
        "repo_archive": "repo.tar.gz",
        "repo_dir": "testbed",
        "test_patch_file": "test.patch",
        "test_cmd": "python -m pytest",
        "image_name": "local/swesmith.x86_64.calc",
        **columns,
    }
    rows = [row | {"instance_id": f"local__calc.00000000.bug__{n:04}"} for n in range(number)]
    file = place / "tasks.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file
