"""Ctrl-C and SIGTERM: once lets the step end, twice ends at once, and both can be resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reapair.agent.log.event_log import Run, read_events
from reapair.agent.solve import resume
from support.proved import FAST, proved_task
from support.scripted_server import ScriptedServer
from support.tasks import turn

TURNS = [
    turn("bash", command="sleep 2; echo done > done.txt"),
    turn("submit", summary="Done."),
    turn("submit", summary="Done."),
]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def started(tmp_path: Path, repository: Path, base_url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "reapair", "solve", "x y", "--sandbox", "none",
         "--test-command", FAST, "--base-url", base_url],
        cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")},
    )  # fmt: skip


def until(tmp_path: Path, kind: str) -> Path:
    """Wait for the run's first event of a kind; return the run's directory."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for run in (tmp_path / "state" / "agent" / "runs").glob("*"):
            if any(event.kind == kind for event in read_events(run)):
                return run
        time.sleep(0.05)
    raise TimeoutError(kind)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_once_lets_the_step_end(tmp_path: Path, number: signal.Signals) -> None:
    task = proved_task(tmp_path / "repository")
    with ScriptedServer(TURNS) as server:
        process = started(tmp_path, task.repository, server.base_url)
        run = until(tmp_path, "tool_intent")
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
        assert process.returncode == CODES[number], out + err
        assert "the same again stops at once" in err
        assert f"agent resume {run.name}" in out
        events = read_events(run)
        assert [events[-1].kind, events[-1].data["ok"]] == ["tool_result", True]
        assert resume(Run(run, run.name)).files == ["done.txt"]
        assert len(server.chats) == 3


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_twice_ends_at_once(tmp_path: Path, number: signal.Signals) -> None:
    task = proved_task(tmp_path / "repository")
    slow = turn("bash", command="sleep 300", timeout=400)
    with ScriptedServer([slow, *TURNS]) as server:
        process = started(tmp_path, task.repository, server.base_url)
        run = until(tmp_path, "tool_intent")
        process.send_signal(number)
        assert process.stderr
        assert "when this step is done" in process.stderr.readline()
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == CODES[number]
        assert f"agent resume {run.name}" in out
        assert read_events(run)[-1].kind == "tool_intent"
        assert resume(Run(run, run.name)).files == ["done.txt"]
        told = server.chats[1]["messages"][-1]["content"]
    assert told.startswith("Interrupted")


@pytest.mark.slow
def test_an_answer_under_way_is_given_up_at_once(tmp_path: Path) -> None:
    task = proved_task(tmp_path / "repository")
    with ScriptedServer([TURNS[0] | {"fault": "stall"}, *TURNS]) as server:
        process = started(tmp_path, task.repository, server.base_url)
        run = until(tmp_path, "request")
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 130
        assert f"agent resume {run.name}" in out
        assert read_events(run)[-1].kind == "request"
        assert resume(Run(run, run.name)).files == ["done.txt"]


@pytest.mark.slow
def test_a_full_disk_is_named_and_resumable(tmp_path: Path) -> None:
    task = proved_task(tmp_path / "repository")
    large = turn("bash", command="head -c 400000 /dev/urandom > large.bin")
    more = turn("bash", command="head -c 900000 /dev/urandom > more.bin")
    script = f"""
        set -e
        cd '{task.repository}'
        mkdir -p '{tmp_path}/state' && mount -t tmpfs -o size=1m tmpfs '{tmp_path}/state'
        export XDG_STATE_HOME='{tmp_path}/state'
        agent() {{ '{sys.executable}' -P -m reapair "$@"; }}
        agent solve 'x y' --sandbox none --test-command '{FAST}' --base-url "$1" || echo "left: $?"
        run=$(ls '{tmp_path}/state/agent/runs')
        mount -o remount,size=100m '{tmp_path}/state'
        agent resume $run || echo "then $?"
    """
    with ScriptedServer([large, more, *TURNS[1:]]) as server:
        done = subprocess.run(
            ["unshare", "-rm", "bash", "-c", script, "bash", server.base_url],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    said = done.stdout + done.stderr
    if "unshare:" in said or "mount:" in said:
        pytest.skip(f"no file system of one's own here: {said[:200]}")
    first, _, second = said.partition("left: ")
    assert "storage_error: " in first, said
    assert "No space left" in first
    assert "agent resume" in first
    assert "Traceback" not in said
    assert "storage_error" not in second, said
    assert "Interrupted" in second
    assert "agent/x-y" in second
