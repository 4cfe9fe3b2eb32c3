"""How much more gets done when runs go side by side: sixteen against one, a model of one second.

    python benchmarks/parallel.py [RUNS] [SECONDS]

Each run has a scripted server of its own that takes SECONDS for an answer, as a GPU server with
enough slots would. Prints seconds for one run, for all in threads of one process and in as many
processes, and the throughput against one run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from reapair.agent.settings.settings import Settings
from reapair.agent.solve import solve
from support.proved import FAST, proved_task
from support.scripted_server import ScriptedServer
from support.tasks import Task, turn

STEPS = 8


def answers(seconds: float) -> list[Callable[[Any], Any]]:
    """Return a run's answers, each late by so many seconds."""
    edit = turn("edit", path="calc.py", old_str="/ (len(values) - 1)", new_str="/ len(values)")
    submit = turn("submit", summary="Done.")
    look = [turn("read", path="calc.py", start_line=line) for line in range(1, STEPS - 2)]

    def late(answer: dict[str, Any]) -> Callable[[Any], Any]:
        def give(_: Any) -> dict[str, Any]:
            time.sleep(seconds)
            return answer

        return give

    return [late(answer) for answer in [*look, edit, submit, submit]]


def in_thread(job: tuple[Task, str, Path]) -> str:
    """Solve in this process; return the verdict."""
    task, base_url, runs = job
    settings = Settings(base_url=base_url, sandbox="none", runs=runs, test_command=FAST)
    return solve(task.issue, task.repository, settings).verdict


def in_process(job: tuple[Task, str, Path]) -> str:
    """Solve in a process of its own; return the verdict."""
    task, base_url, runs = job
    command = [sys.executable, "-P", "-m", "reapair", "solve", task.issue, "--sandbox", "none",
               "--test-command", FAST, "--base-url", base_url]  # fmt: skip
    done = subprocess.run(
        command, cwd=task.repository, capture_output=True, text=True, check=False,
        env=os.environ | {"XDG_STATE_HOME": str(runs)},
    )  # fmt: skip
    return "proved" if done.returncode == 0 else done.stdout + done.stderr


def measure(count: int, seconds: float, solve_one: Callable[[Any], str]) -> float:
    """Return how long so many runs take side by side; every one must be proved."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        jobs = []
        for number in range(count):
            server = stack.enter_context(ScriptedServer(answers(seconds)))
            task = proved_task(Path(place) / str(number))
            jobs.append((task, server.base_url, Path(place) / "runs"))
        started = time.monotonic()
        with ThreadPoolExecutor(count) as pool:
            verdicts = list(pool.map(solve_one, jobs))
        took = time.monotonic() - started
        kept = len(list((Path(place) / "runs").rglob("result.json")))
        if verdicts != ["proved"] * count or kept != count:
            sys.exit(f"Not every run was proved and kept: {verdicts}, {kept} kept")
    return took


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if sys.argv[1:] else 16
    seconds = float(sys.argv[2]) if sys.argv[2:] else 1.0
    in_thread_once = measure(1, 0.0, in_thread)  # Imports are not what is measured.
    print(f"{STEPS} answers of {seconds:g} s each; {in_thread_once:.1f} s without waiting")
    for name, solve_one in (("threads", in_thread), ("processes", in_process)):
        one, many = measure(1, seconds, solve_one), measure(count, seconds, solve_one)
        print(
            f"{name}: one run {one:.1f} s, {count} runs {many:.1f} s: "
            f"{count * one / many:.1f} times the throughput of one"
        )


if __name__ == "__main__":
    main()
