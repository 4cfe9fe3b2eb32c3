"""The page of rooms: what it names is there, and its reading path stays short enough to be read."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
PATH = re.findall(r"^(\d+)\. `([^`]+)` \S", PAGE, re.MULTILINE)
ROOMS = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)


def test_the_reading_path_is_short() -> None:
    files = [ROOT / name for _, name in PATH]
    assert [int(number) for number, _ in PATH] == list(range(1, len(files) + 1))
    assert 20 <= len(set(files)) == len(files) <= 30
    assert all(file.is_file() for file in files), PATH
    lines = {file.name: len(file.read_text("utf-8").splitlines()) for file in files}
    assert sum(lines.values()) <= 6_000, lines


def test_every_room_is_on_the_page() -> None:
    named = set(re.findall(r"`((?:agent|tools|sandbox|prompts)/(?:[\w/]*/)?)`", PAGE))
    packages = {
        f"{init.parent.relative_to(ROOT)}/"
        for room in ("agent", "tools", "sandbox", "prompts")
        for init in (ROOT / room).rglob("__init__.py")
        if "repository" not in init.parts
    }
    assert named | {"agent/"} == packages
    assert len(ROOMS) > 20
    assert all((ROOT / name).exists() for name in ROOMS)
