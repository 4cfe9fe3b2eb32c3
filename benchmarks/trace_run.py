"""How much of the product one proved run of five steps enters, and how often files hand over.

    python benchmarks/trace_run.py [--sandbox KIND] [--strategy loop|auto] [--list]

A file is entered when one of its functions is called; lines are those of the whole file. A
hand-over is a call from one file of the product into another. Files that are only loaded, where
none of whose functions is called but while a module is loaded, are counted apart. The run goes from
the issue to the branch; its page is written afterwards, by its caller. The model is a scripted
server.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

ROOMS = tuple(f"{ROOT / room}/" for room in ("agent", "prompts", "sandbox", "tools"))


class Trace:
    """Counts calls in the product, in every thread."""

    def __init__(self) -> None:
        self.entered: Counter[str] = Counter()
        self.handed_over: Counter[tuple[str, str]] = Counter()
        self._files: dict[str, str] = {}

    def __enter__(self) -> Trace:
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or frame.f_code.co_name in ("<module>", "<genexpr>", "<lambda>"):
            return
        file = self._file(frame)
        # A class body is executed when the module is loaded.
        if not file or "__qualname__" in frame.f_code.co_names[:3]:
            return
        back = frame.f_back
        if back and back.f_code.co_name == "<module>" and self._file(back):
            return
        self.entered[file] += 1
        caller = self._file(back) if back else ""
        if caller and caller != file:
            self.handed_over[caller, file] += 1

    def _file(self, frame: FrameType) -> str:
        """Return the product file of a frame, below the project's top; empty for all others."""
        name = frame.f_code.co_filename
        if name not in self._files:
            path = str(Path(name).resolve()) if name.endswith(".py") else ""
            self._files[name] = path.removeprefix(f"{ROOT}/") if path.startswith(ROOMS) else ""
        return self._files[name]


def traced(sandbox: str, strategy: str) -> tuple[Trace, set[str]]:
    """Bring one run to its verdict; return what was called, and all product files loaded."""
    from support.proved import FAST, proved_task
    from support.scripted_server import ScriptedServer
    from support.tasks import turn

    edit = {"path": "calc.py", "old_str": "/ (len(values) - 1)", "new_str": "/ len(values)"}
    turns = [
        turn("search", pattern="mean"),
        turn("edit", **edit),
        turn("run_tests", selector="all"),
        turn("submit", summary="mean() divides by the number of values."),
        turn("submit", summary="mean() divides by the number of values."),
    ]
    with tempfile.TemporaryDirectory() as place, ScriptedServer(turns) as server, Trace() as trace:
        from reapair.agent.settings.settings import Settings
        from reapair.agent.solve import solve

        task = proved_task(Path(place) / "repository")
        settings = Settings.model_validate(
            {
                "base_url": server.base_url,
                "sandbox": sandbox,
                "strategy": strategy,
                "test_command": FAST,
                "runs": Path(place) / "runs",
            }
        )
        result = solve(task.issue, task.repository, settings)
        if (result.verdict, result.steps) != ("proved", 5):
            raise SystemExit(f"The run was to be proved in five steps, but: {result}")
    files = (str(getattr(module, "__file__", "")) for module in list(sys.modules.values()))
    loaded = {str(Path(file).resolve()) for file in files}
    return trace, {file.removeprefix(f"{ROOT}/") for file in loaded if file.startswith(ROOMS)}


def lines(files: set[str]) -> int:
    """Return how many lines files have together."""
    return sum(len((ROOT / file).read_text("utf-8").splitlines()) for file in files)


def main() -> None:
    """Trace a run and print the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--strategy", default="loop")
    parser.add_argument("--list", action="store_true", help="name the files")
    given = parser.parse_args()
    trace, loaded = traced(given.sandbox, given.strategy)
    entered = set(trace.entered)
    print(f"entered: {len(entered)} files, {lines(entered)} lines")
    print(f"only loaded: {len(loaded - entered)} files, {lines(loaded - entered)} lines")
    print(f"hand-overs between files: {trace.handed_over.total()}")
    if given.list:
        into: Counter[str] = Counter()
        for (_, file), count in trace.handed_over.items():
            into[file] += count
        for file in sorted(entered):
            print(f"{lines({file}):>6} lines, {into[file]:>5} times  {file}")
        for file in sorted(loaded - entered):
            print(f"{lines({file}):>6} lines, only loaded  {file}")


if __name__ == "__main__":
    main()
