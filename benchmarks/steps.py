"""What a step costs: the whole loop in the sandbox against a scripted server without latency.

    python benchmarks/steps.py [STEPS ...] [--peer PATH-TO-mini]

Reads, searches, commands and real edits take turns. Prints milliseconds a step and how many of them
pass in tools, the last ten steps against the first ten, process start to first request, peak
memory, bytes of the first request and bytes added by each step. A peer, mini-swe-agent so far, does
the like with its one tool in a container of the same image, in the same minute.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from reapair.sandbox.containers.docker_engine import DockerEngine
from support import scripted_server
from support.tasks import own_tasks, turn

Asked = list[tuple[float, int]]
"""When each request came, in seconds since the epoch, and its bytes."""


def turns(steps: int) -> list[dict[str, Any]]:
    """Return a run of so many steps that ends with a submission."""
    made = []
    for number in range(steps - 2):
        made.append(
            [
                turn("read", path="calc.py", start_line=1 + number % 7),
                turn("search", pattern=f"clamp|{number}"),
                turn("bash", command=f"echo {number}; ls"),
                turn("edit", path=f"notes/{number}.py", old_str="", new_str=f"N = {number}\n"),
            ][number % 4]
        )
    return [*made, *[turn("submit", summary="Done.")] * 3]


def peer_turns(steps: int) -> list[dict[str, Any]]:
    """Return the like of `turns` for an agent whose only tool is `bash`."""
    commands = []
    for number in range(steps - 1):
        commands.append(
            [
                "cat /etc/passwd",
                f"grep -rn 'root|{number}' /etc/passwd /etc/group",
                f"echo {number}; ls",
                f"mkdir -p notes && echo 'N = {number}' > notes/{number}.py",
            ][number % 4]
        )
    commands.append("echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT")
    return [turn("bash", command=command) for command in commands]


@contextmanager
def serving(script: list[dict[str, Any]]) -> Iterator[tuple[str, Callable[[], Asked]]]:
    """Serve a script from a process of its own; yield its address and what was asked."""
    ours, theirs = Pipe()
    server = Process(target=_serve, args=(script, theirs), daemon=True)
    server.start()

    def asked() -> Asked:
        ours.send("asked")
        return list(ours.recv())

    yield ours.recv(), asked
    server.terminate()


def _serve(script: list[dict[str, Any]], pipe: Connection) -> None:
    asked: Asked = []

    def noted(turn: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
        def answer(body: dict[str, Any]) -> dict[str, Any]:
            asked.append((time.time(), len(json.dumps(body))))
            return turn

        return answer

    # A real count costs more than a step.
    scripted_server.count_tokens = lambda text: len(text) // 4
    with scripted_server.ScriptedServer(map(noted, script), context=1_000_000) as server:
        pipe.send(server.base_url)
        pipe.recv()
        pipe.send(asked)


def measure(steps: int) -> None:
    """Run once and print one line of figures."""
    with tempfile.TemporaryDirectory() as place, serving(turns(steps)) as (base_url, asked):
        task = own_tasks(Path(place) / "tasks")[0]
        command = [sys.executable, "-P", "-m", "reapair", "solve", task.issue, "--json"]
        command += ["--max-steps", str(steps + 1), "--base-url", base_url]
        started, lines, memory = _run(command, task.repository, {"XDG_STATE_HOME": place})
        line = _line(f"reapair {steps}", started, asked(), memory)
    print(f"{line}; in tools {_in_tools([json.loads(line) for line in lines]):.1f} ms")


def measure_peer(mini: Path, steps: int) -> None:
    """Run mini-swe-agent once and print the same figures."""
    with tempfile.TemporaryDirectory() as place, serving(peer_turns(steps)) as (base_url, asked):
        repository = own_tasks(Path(place) / "tasks")[0].repository
        command = [str(mini), "-m", "openai/scripted", "-t", "Fix mean", "-y", "--exit-immediately"]
        command += ["-o", f"{place}/out.json"]
        for setting in (
            "mini.yaml",
            f"model.model_kwargs.api_base={base_url}",
            "model.cost_tracking=ignore_errors",
            "environment.environment_class=docker",
            f"environment.image={DockerEngine().base_image()}",
            "environment.cwd=/tmp",
        ):
            command += ["-c", setting]
        variables = {
            "MSWEA_CONFIGURED": "true",
            "MSWEA_GLOBAL_CONFIG_DIR": place,
            "OPENAI_API_KEY": "none",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        started, _, memory = _run(command, repository, variables)
        print(_line(f"{mini.name} {steps}", started, asked(), memory))


def _run(
    command: list[str], directory: Path, variables: dict[str, str]
) -> tuple[float, list[bytes], float]:
    """Return when the command was started, the lines it printed, and its peak memory in MB."""
    started = time.time()
    process = subprocess.Popen(
        command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        env=os.environ | variables,
    )  # fmt: skip
    lines = list(process.stdout or ())
    _, _, usage = os.wait4(process.pid, 0)
    return started, lines, usage.ru_maxrss / 1024


def _line(name: str, started: float, asked: Asked, memory: float) -> str:
    times, sizes = [when for when, _ in asked], [size for _, size in asked]
    each = [1000 * (after - before) for before, after in pairwise(times)]
    return (
        f"{name:>12}: {statistics.median(each):.1f} ms a step at the median, "
        f"last ten / first ten {statistics.median(each[-10:]) / statistics.median(each[:10]):.2f}, "
        f"{times[0] - started:.2f} s to the first request, {memory:.0f} MB, "
        f"{sizes[0]} bytes first, {(sizes[-1] - sizes[0]) / (len(sizes) - 1):.0f} bytes a step"
    )


def _in_tools(events: list[dict[str, Any]]) -> float:
    """Return the milliseconds that pass in tools, and in recording what they change, at a step."""
    begun: dict[int, float] = {}
    took = []
    for event in events:
        if event["kind"] == "tool_intent":
            begun[event["step"]] = event["ts"]
        elif event["kind"] == "tool_result" and event["step"] in begun:
            took.append(1000 * (event["ts"] - begun[event["step"]]))
    return statistics.median(took)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", type=int, nargs="*", default=[50, 200])
    parser.add_argument("--peer", type=Path, metavar="PATH", help="the `mini` to run beside it")
    chosen = parser.parse_args()
    for steps in chosen.steps:
        measure(steps)
        if chosen.peer:
            measure_peer(chosen.peer, steps)
