"""A run survives kill -9 at any event: it goes on, asks nothing twice, does nothing twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support.scripted_server import ScriptedServer
from support.tasks import Task, own_tasks, script, turn


def by_history(turns: list[dict[str, Any]]) -> list[Any]:
    """Answer by how many answers the history holds, like a model that has no memory of its own."""

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        return turns[sum(message["role"] == "assistant" for message in body["messages"])]

    return [answer] * 100


def command(tmp_path: Path, repository: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "reapair", *arguments],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")},
    )


def kinds(tmp_path: Path) -> list[str]:
    logs = list((tmp_path / "state" / "agent" / "runs").glob("*/events.jsonl"))
    return [json.loads(line)["kind"] for line in logs[0].open()] if logs else []


def kill_at(process: subprocess.Popen[bytes], tmp_path: Path, count: int) -> None:
    """Kill the process as soon as its log has so many events."""
    while process.poll() is None:
        try:
            if len(kinds(tmp_path)) >= count:
                process.kill()
        except ValueError:  # A line that is being written.
            pass
        time.sleep(0.005)
    process.communicate()


def episode(task: Task) -> list[dict[str, Any]]:
    """Every kind of effect: commands, edits, a test run, a review and a submission."""
    look, *rest = script(task, task.gold)
    append = turn("bash", command="echo once >> log.txt")
    return [look, append, turn("run_tests", selector="all"), *rest]


QUICK = [3, 9, 15, 19, 27]
POINTS = [
    pytest.param(count, marks=[] if count in QUICK else [pytest.mark.long])
    for count in range(1, 32)
]
"""Numbers of events in the log at which the process is killed."""


@pytest.mark.engine
@pytest.mark.parametrize("count", POINTS)
def test_killed_at_an_event(tmp_path: Path, count: int) -> None:
    task = own_tasks(tmp_path / "tasks")[0]
    with ScriptedServer(by_history(episode(task))) as server:
        process = command(tmp_path, task.repository, "solve", "x y", "--base-url", server.base_url)
        kill_at(process, tmp_path, count)
        [run] = (tmp_path / "state" / "agent" / "runs").iterdir()
        resumed = command(tmp_path, task.repository, "resume", run.name)
        said = resumed.communicate(timeout=200)[0].decode()
        chats = [json.dumps(chat["messages"]) for chat in server.chats]
    if "run_started" not in kinds(tmp_path):
        assert resumed.returncode == 2
        return
    assert resumed.returncode == 9, said
    log = [json.loads(line) for line in (run / "events.jsonl").open()]
    recorded = [event["data"]["message"] for event in log if event["kind"] == "response"]
    assert len(recorded) == len(episode(task))
    # At most the one request in flight is asked again.
    assert len(chats) <= len(recorded) + 1
    results = {event["data"]["call_id"]: event["data"] for event in log
               if event["kind"] == "tool_result"}  # fmt: skip
    assert len(results) == len(recorded)
    # An effect whose fate is unknown is told to the model, and is not in the tree.
    lost = [each["name"] for each in results.values() if "Interrupted" in each["content"]]
    assert len(lost) <= 1
    patch = (run / "patch.diff").read_text()
    assert patch.count("+once") == (0 if lost == ["bash"] else 1)
    assert ("/ len(values)" in patch) == (lost != ["edit"])
    branches = subprocess.run(
        ["git", "branch", "--list", "agent/*"],
        cwd=task.repository, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert branches == ["agent/x-y"]
