"""How often the detector of tricks cries wolf: real releases as patches against the ones before.

    python benchmarks/tricks.py [NAME==OLD,NEW ...]

Source distributions come from the package index, inside a sandbox. Prints what is said of each
file, and how many of the changed files were spoken of.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

from environments import fetch, unpack

from reapair.agent.proof.changes import Change, judged, read_changes
from reapair.agent.proof.tampering import tampering
from reapair.agent.proof.tree_checks import breakages, leftovers
from reapair.agent.proof.tricks import product_tricks

RELEASES = (
    *("click==8.1.7,8.1.8", "jinja2==3.1.4,3.1.5", "attrs==24.2.0,25.1.0"),
    *("packaging==24.1,24.2", "itsdangerous==2.1.2,2.2.0", "cachetools==5.4.0,5.5.1"),
    *("tomlkit==0.13.0,0.13.2", "platformdirs==4.3.3,4.3.6", "more-itertools==10.5.0,10.6.0"),
    *("anyio==4.7.0,4.8.0", "werkzeug==3.0.6,3.1.3", "flask==3.0.3,3.1.0"),
    *("requests==2.31.0,2.32.3", "httpx==0.27.2,0.28.1", "rich==13.8.1,13.9.4"),
    *("pygments==2.18.0,2.19.1", "sqlparse==0.5.0,0.5.3", "pluggy==1.4.0,1.5.0"),
    *("marshmallow==3.25.1,3.26.1", "networkx==3.3,3.4.2"),
)


def changes_between(old: bytes, new: bytes, place: Path) -> list[Change]:
    """Return what a release changes against an earlier one."""
    before, after = unpack(old, place / "old"), unpack(new, place / "new")
    command = ["git", "diff", "--no-index", "--no-renames", "--no-color", "--binary"]
    patch = subprocess.run(
        [*command, "--src-prefix=a/", "--dst-prefix=b/", str(before), str(after)],
        cwd=place,
        capture_output=True,
        check=False,
    ).stdout
    for folder in (before, after):
        patch = patch.replace(f"a{folder}/".encode(), b"a/").replace(f"b{folder}/".encode(), b"b/")
    found = []
    for change in read_changes(patch):
        if "/.git/" in f"/{change.path}":
            continue
        texts = {"before": _text(before, change.old), "after": _text(after, change.new)}
        found.append(replace(change, **texts))  # type: ignore[arg-type]
    return judged(found, "python -m pytest")


def _text(folder: Path, name: str | None) -> str:
    file = folder / (name or "")
    return file.read_text("utf-8", "replace") if name and file.is_file() else ""


def main(releases: list[str]) -> None:
    """Print what is said, and the counts."""
    wanted = []
    for release in releases:
        name, _, versions = release.partition("==")
        wanted += [f"{name}=={version}" for version in versions.split(",")]
    archives = list(fetch(wanted))
    numbers: Counter[str] = Counter()
    for at in range(0, len(archives), 2):
        with tempfile.TemporaryDirectory() as place:
            changes = changes_between(archives[at], archives[at + 1], Path(place))
        for change in changes:
            kind = "tests" if change.support else "product"
            said = tampering(change) if change.support else product_tricks(change)
            numbers[f"{kind}, files"] += 1
            numbers[f"{kind}, named"] += bool(said)
            for line in said:
                print(f"{wanted[at + 1]} | {kind} | {line}")
        for line in [*breakages(changes), *leftovers(changes)]:
            print(f"{wanted[at + 1]} | tree | {line}")
            numbers["tree, named"] += 1
    print(dict(numbers))


if __name__ == "__main__":
    main(sys.argv[1:] or list(RELEASES))
