"""Runs that are killed for real, and what must be the same after they were resumed.

As a script it is a nursery: it imports everything once, and forks a process for each job that it
reads from its standard input, so that a killed run costs no start-up.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.tasks import turn

Kill = tuple[str, float]
"""`before`, `torn` or `after` with the number of an event, or `time` with seconds."""

ACTIONS = [
    turn("search", pattern="def "),
    turn("bash", command="echo once >> log.txt"),
    turn("edit", path="calc.py", old_str="/ (len(values) - 1)", new_str="/ len(values)"),
    turn("run_tests", selector="all"),
    turn("bash", command="echo once >> log.txt"),
    turn("submit", summary="Done."),
    turn("submit", summary="Done."),
]
"""Every kind of effect; each `once` is one line in the patch."""


def model(body: dict[str, Any]) -> dict[str, Any]:
    """Answer by the history alone: do the first action again whose fate is not known."""
    results = [m["content"] for m in body["messages"] if m["role"] == "tool"]
    return ACTIONS[sum(not text.startswith("Interrupted") for text in results)]


@dataclass(frozen=True)
class End:
    """What an uninterrupted run and a resumed one must have in common."""

    verdict: str
    patch: bytes
    effects: int
    branches: tuple[str, ...]
    work_tree: str


def fingerprint(repository: Path) -> dict[str, tuple[int, bytes]]:
    """Return bytes and times of all that is the user's: files, index, refs, config, hooks."""
    ours = ("objects/", "refs/heads/agent/", "logs/refs/heads/agent")
    found = {}
    for path in sorted(repository.rglob("*")):
        name = path.relative_to(repository).as_posix()
        if path.is_file() and not name.removeprefix(".git/").startswith(ours):
            found[name] = (path.stat().st_mtime_ns, path.read_bytes())
    return found


class Nursery:
    """The process that forks runs."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, job: dict[str, Any], kill: Kill | None = None) -> dict[str, Any]:
        """Do a job (see `_work`) in a process of its own; return how the process ended."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({**job, "kill": kill}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def end(directory: Path, repository: Path) -> End:
    """Return what a run has come to."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(
            command, cwd=repository, capture_output=True, text=True, check=True
        ).stdout

    patch = (directory / "patch.diff").read_bytes()
    result = json.loads((directory / "result.json").read_text())
    form = "--format=%(refname:short) %(tree)"
    return End(
        result["evidence"]["verdict"],
        patch,
        patch.count(b"+once"),
        tuple(git("for-each-ref", form, "refs/heads/agent/").splitlines()),
        git("--no-optional-locks", "diff", "HEAD"),
    )


def _work(job: dict[str, Any]) -> None:
    """Solve, or resume where `run` names a directory; dies by itself where `kill` says so."""
    from reapair.agent.log.event_log import Run
    from reapair.agent.settings.settings import Settings
    from reapair.agent.solve import resume, solve

    # As after a reboot: nothing that a run needs may lie in the temporary directory.
    os.environ["TMPDIR"] = tempfile.tempdir = job["tmp"]
    _arm(*(job["kill"] or ("never", 0)))
    if job.get("run"):
        resume(Run(Path(job["run"]), Path(job["run"]).name))
    else:
        settings = Settings(**job["settings"])
        solve("mean() is too large", Path(job["repository"]), settings)


def _arm(how: str, number: float) -> None:
    """Kill this process when the event of that number is written."""
    from reapair.agent.log.event_log import Run

    write = Run._write

    def deadly(run: Run, event: Any) -> None:
        if event.seq != number:
            write(run, event)
            return
        if how == "after":
            write(run, event)
        elif how == "torn":
            line = event.to_json().encode()
            run._log.write(line[: len(line) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    if how in ("before", "torn", "after"):
        Run._write = deadly  # type: ignore[method-assign]


def _nurse() -> None:
    """Fork a process for each line of standard input, and say how it ended."""
    import langgraph.checkpoint.sqlite
    import langgraph.graph  # noqa: F401
    import openai  # noqa: F401

    import reapair.agent.solve  # noqa: F401

    for line in sys.stdin:
        job = json.loads(line)
        shutil.rmtree(job["tmp"], ignore_errors=True)
        Path(job["tmp"]).mkdir()
        pid = os.fork()
        if pid == 0:
            _child(job)
        how, number = job["kill"] or ("never", 0)
        deadline = time.monotonic() + (number if how == "time" else 300)
        ended, status = 0, 0
        while not ended:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended and time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.003)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)


def _child(job: dict[str, Any]) -> None:
    os.setsid()
    with (Path(job["tmp"]).parent / "said.txt").open("w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    try:
        _work(job)
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    _nurse()
