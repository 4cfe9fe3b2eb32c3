"""A sandbox that dies under the model is replaced, and the run goes on."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from reapair.agent.result import ExitReason, Result
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import solve
from support.scripted_server import ScriptedServer
from support.tasks import own_tasks, script, turn

pytestmark = [pytest.mark.docker, pytest.mark.slow]

LABEL = "io.reapair.run"


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    return done.stdout


def kill_container_of(command: str, runs: Path) -> None:
    """Kill the container in which a command runs, if it belongs to the run in that directory."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for run in runs.glob("*/events.jsonl"):
            flags = ("--quiet", "--filter", f"label={LABEL}={run.parent.name}")
            for container in docker("ps", *flags).split():
                if command in docker("top", container):
                    docker("kill", container)
                    return
        time.sleep(0.1)


def observations(result: Result) -> list[str]:
    log = [json.loads(line) for line in (result.directory / "events.jsonl").open()]
    return [event["data"]["content"] for event in log if event["kind"] == "tool_result"]


@pytest.mark.parametrize(
    ("call", "command"),
    [
        pytest.param(
            turn("bash", command="echo lost > half.txt; sleep 4242"), "sleep 4242", id="bash"
        ),
        pytest.param(
            turn("search", pattern="mean", path="pipe"), "pipe", id="search", marks=pytest.mark.long
        ),
        pytest.param(
            turn("run_tests", selector="all"), "sleep 4243", id="run_tests", marks=pytest.mark.long
        ),
    ],
)
def test_killed_from_outside_while_a_tool_runs(
    call: dict[str, Any], command: str, tmp_path: Path
) -> None:
    task = own_tasks(tmp_path / "tasks")[0]
    runs, killers = tmp_path / "runs", []

    def begin(_: dict[str, Any]) -> dict[str, Any]:
        killer = threading.Thread(target=kill_container_of, args=(command, runs))
        killer.start()
        killers.append(killer)
        return call

    # A pipe holds up whoever reads it, and a test that waits holds up the suite.
    waits = "def test_waits():\\n    __import__('os').system('sleep 4243')\\n"
    prepare = f'echo kept > kept.txt; mkfifo pipe; printf "{waits}" > test_waits.py'
    look = turn("bash", command="ls; rm test_waits.py")
    turns: list[Any] = [turn("bash", command=prepare), begin, look]
    turns += script(task, task.gold)
    turns += turns[-1:] * 3
    with ScriptedServer(turns) as server:
        settings = Settings(base_url=server.base_url, runs=runs, sandbox="docker")
        result = solve(task.issue, task.repository, settings)
    for killer in killers:
        killer.join()
    said = observations(result)
    assert "has been replaced" in said[1]
    assert "kept.txt" in said[2]
    assert "half.txt" not in said[2]
    assert result.exit_reason is ExitReason.SUBMITTED
    assert "+kept" in result.patch
    assert "/ len(values)" in result.patch
