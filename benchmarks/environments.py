"""What `agent prepare` makes of real projects: seconds the first and the second time, and tests.

    python benchmarks/environments.py [NAME==VERSION ...]

Source distributions come from the package index, inside a sandbox, because fetching one can run its
build system. Each is unpacked into a fresh git repository and prepared twice with no settings at
all. Prints a Markdown table.
"""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reapair.sandbox import choose

PROJECTS = (
    *("python-dateutil==2.9.0.post0", "pluggy==1.5.0", "markupsafe==3.0.2", "cachetools==5.5.1"),
    *("attrs==25.1.0", "platformdirs==4.3.6", "itsdangerous==2.2.0", "pathspec==0.12.1"),
    *("click==8.1.8", "jinja2==3.1.5", "packaging==24.2", "more-itertools==10.6.0"),
    *("tomlkit==0.13.2", "pdm-backend==2.4.3", "pyproject-hooks==1.2.0", "anyio==4.8.0"),
)
_IDENTITY = ("-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.org")


def fetch(projects: list[str]) -> Iterator[bytes]:
    """Yield the source distributions, in order."""
    lines = []
    for number, wanted in enumerate(projects):
        name = shlex.quote(wanted.partition("==")[0])
        lines.append(
            f"pip download -q --no-deps --no-binary {name} -d ~/{number} {shlex.quote(wanted)}"
        )
    engine = choose()
    environment = engine.prepare(b"", "\n".join(("set -e", *lines)), lambda _: None, print)
    with engine.sandbox(environment, "benchmark") as sandbox:
        for number in range(len(projects)):
            path = sandbox.exec(f"printf %s ~/{number}/*.tar.gz").text
            yield sandbox.read(path)


def unpack(archive: bytes, place: Path) -> Path:
    """Return a fresh git repository with an archive's only folder."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(place, filter="data")
    (repository,) = place.iterdir()
    for arguments in (["init", "-q"], ["add", "-A", "-f"], ["commit", "-q", "-m", "Start"]):
        subprocess.run(["git", *_IDENTITY, *arguments], cwd=repository, check=True)
    return repository


def build_system(repository: Path) -> str:
    """Return the name of a project's build backend."""
    file = repository / "pyproject.toml"
    table = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
    backend = str(table.get("build-system", {}).get("build-backend", "setup.py alone"))
    kind = " (setup.py)" if backend.startswith("setuptools") and "project" not in table else ""
    return backend.partition(".")[0].partition(":")[0] + kind


def prepare(repository: Path) -> dict[str, Any]:
    """Run `agent prepare` and return what it says."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "reapair", "prepare", "--json"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    (repository.parent / "log").write_text(done.stderr)
    return dict(json.loads(done.stdout)) if done.stdout else {"error": done.stderr[-300:]}


def main(projects: list[str]) -> None:
    """Print a row for each project."""
    print("| project | build system | first, s | again, s | suite, s | tests | notes |")
    print("|---|---|---|---|---|---|---|")
    for wanted, archive in zip(projects, fetch(projects), strict=True):
        with tempfile.TemporaryDirectory() as place:
            repository = unpack(archive, Path(place))
            first, again = prepare(repository), prepare(repository)
            if wrong := first.get("error") or again.get("error"):
                print(f"| {wanted} | {build_system(repository)} | {wrong} |", flush=True)
                continue
            tests = ", ".join(f"{count} {status}" for status, count in again["counts"].items())
            notes = "; ".join([*again["notes"], *again["mend"]])
            print(
                f"| {wanted} | {build_system(repository)} | {first['setup_seconds']:.1f} "
                f"| {again['setup_seconds']:.1f} | {again['suite_seconds']:.1f} | {tests} "
                f"| {notes} |",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:] or list(PROJECTS))
