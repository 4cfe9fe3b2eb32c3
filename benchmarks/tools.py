"""What finding code costs: index, symbols, map, search, outline and edit on real trees.

    python benchmarks/tools.py TREE [TREE ...] [--peer-python PYTHON]

A tree is a directory of sources, for example Django's or CPython's. Our figures are the median of
five calls in an unsealed sandbox: milliseconds of the clock, and of our own processor time. Beside
them: `ctags -R`, `git grep`, and aider's repository map where PYTHON has `aider-chat`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

from reapair.sandbox.base import Sandbox
from reapair.sandbox.host.no_sandbox import NoSandbox
from reapair.tools.base import Toolbox
from reapair.tools.code.blob_sources import TreeSource
from reapair.tools.code.cache import Cache
from reapair.tools.code.index import Index
from reapair.tools.code.languages import language_of
from reapair.tools.code.map import repository_map
from reapair.tools.edit import Edit
from reapair.tools.read import Read
from reapair.tools.search import Search
from reapair.tools.symbols import Symbols

AIDER = """
import glob, sys, time
from aider.io import InputOutput
from aider.repomap import RepoMap
class Model:
    def token_count(self, text): return len(text) // 4
io = InputOutput(yes=True)
files = sorted(glob.glob(sys.argv[1] + "/**/*.py", recursive=True))
def once():
    RepoMap(map_tokens=1500, root=sys.argv[1], main_model=Model(), io=io).get_repo_map([], files)
for _ in range(2):
    begun = time.process_time(); once(); print(time.process_time() - begun)
"""


def row(name: str, wall: float, cpu: float, note: str = "") -> None:
    """Print one line of the table; times in seconds."""
    print(f"| {name:<34} | {1000 * wall:>8.0f} | {1000 * cpu:>8.0f} | {note}", flush=True)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return seconds of the clock and of this process's processor time."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def median(work: Callable[[], object], times: int = 5) -> tuple[float, float]:
    """Return the medians of several calls."""
    each = [timed(work) for _ in range(times)]
    return statistics.median(wall for wall, _ in each), statistics.median(cpu for _, cpu in each)


def outside(command: Sequence[str], cwd: Path) -> tuple[float, float]:
    """Run a program; return seconds of the clock and of its processor time."""
    wall, before = time.perf_counter(), os.times()
    subprocess.run(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: PLW1510
    after = os.times()
    cpu = after.children_user + after.children_system
    return time.perf_counter() - wall, cpu - before.children_user - before.children_system


def commonest(index: Index, source: TreeSource) -> str:
    """Return the class with most uses: the hardest name to look up."""
    known = index.files(source)
    classes = {
        entry.short
        for file in known.values()
        for entry in file.definitions
        if entry.kind == "class" and len(entry.short) > 5
    }
    uses: dict[str, int] = {}
    for file in known.values():
        for name, number in file.names.items():
            if name in classes:
                uses[name] = uses.get(name, 0) + number
    return max(sorted(uses), key=lambda name: uses[name])


def packed(tree: Path) -> bytes:
    """Return a tree as a tar archive without its `.git`."""
    archive = BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(tree, ".", filter=lambda entry: None if ".git" in entry.name.split("/") else entry)
    return archive.getvalue()


def measure(tree: Path, peer: str | None, place: Path) -> None:
    """Print the table of one tree."""
    with NoSandbox("benchmark") as sandbox:
        done = sandbox.exec(
            "tar -xf - && rm -f .gitignore && git init -q && git add -A && "
            "git -c user.name=b -c user.email=b@example.org commit -qm tree",
            stdin=packed(tree),
            timeout=300,
        )
        if not done.ok:
            raise SystemExit(done.stderr.decode("utf-8", "replace"))
        tables(sandbox, tree.resolve(), place, peer)


def tables(sandbox: Sandbox, top: Path, place: Path, peer: str | None) -> None:
    """Measure ours and theirs on one tree in a sandbox."""

    def git(*arguments: str, stdin: bytes = b"") -> bytes:
        return sandbox.exec(["git", *arguments], stdin=stdin, output_limit=2**28).stdout

    tree = git("rev-parse", "HEAD^{tree}").decode().strip()
    source, file = TreeSource(git, tree), place / f"{tree}.sqlite"
    cold = timed(lambda: Index(Cache(file)).files(source))
    index = Index(Cache(file))
    files = index.files(source)
    name = commonest(index, source)
    path = max(
        (path for path in files if path.endswith(".py")),
        key=lambda path: len(files[path].definitions),
    )
    size = sum(1 for path in files if language_of(path))
    print(f"\n{size} source files; the name is {name}; the file is {path}\n")
    print(f"| {'':<34} | wall, ms | CPU, ms  |\n|{'-' * 36}|---------:|---------:|")
    row("index, cold", *cold)
    row("index, warm", *median(lambda: Index(Cache(file)).files(source)))
    issue = f"`{name}` gives a wrong result. See {path}."
    row("map, index warm", *median(lambda: repository_map(Index(Cache(file)).files(source), issue)))
    box = Toolbox([Symbols(index), Search(), Read(), Edit()], lambda: sandbox)
    row("symbols", *median(lambda: box.call("symbols", {"name": name})))
    row("symbols, no such name", *median(lambda: box.call("symbols", {"name": name + "qx"})))
    row("search", *median(lambda: box.call("search", {"pattern": name})))
    row("read: outline", *median(lambda: box.call("read", {"path": path})))
    body = next(line for line in sandbox.read(path).decode().split("\n") if len(line) > 20)
    turns = iter([(body, body + "  #"), (body + "  #", body)] * 3)

    def edit() -> None:
        old, new = next(turns)
        box.call("edit", {"path": path, "old_str": old, "new_str": new})

    row("edit", *median(edit))
    row("git grep", *outside(["git", "grep", "--no-index", "-nw", name], top))
    if ctags := shutil.which("ctags"):
        row("ctags -R (definitions only)", *outside([ctags, "-R", "-f", "/dev/null", "."], top))
    if peer:
        told = subprocess.run(  # noqa: PLW1510
            [peer, "-c", AIDER, str(top)], capture_output=True, text=True, timeout=900
        )
        for kind, seconds in zip(("cold", "warm"), told.stdout.split()[-2:], strict=False):
            row(f"aider's map, {kind}", 0.0, float(seconds), "Python files only")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("trees", nargs="+", type=Path)
    parser.add_argument("--peer-python")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for tree in chosen.trees:
            measure(tree, chosen.peer_python, Path(folder))
