"""Finding, showing, applying and undoing runs by the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reapair.agent.log.event_log import Run, RunError
from reapair.agent.log.listing import clean, find, ids, summaries
from support.proved import FAST, proved_task
from support.scripted_server import ScriptedServer
from support.tasks import own_tasks, script


def agent(tmp_path: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "reapair", *arguments],
        cwd=cwd, capture_output=True, text=True, check=False,
        env=os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")},
    )  # fmt: skip


@pytest.mark.engine
def test_a_run_is_found_shown_applied_and_undone(tmp_path: Path) -> None:
    task = own_tasks(tmp_path / "tasks")[0]
    with ScriptedServer(script(task, task.gold)) as server:
        agent(tmp_path, "solve", task.issue, "--base-url", server.base_url, cwd=task.repository)
    [line] = agent(tmp_path, "runs", "--json", cwd=tmp_path).stdout.splitlines()
    summary = json.loads(line)
    assert (summary["state"], summary["verdict"]) == ("finished", "regression_free")
    assert summary["issue"] == task.issue
    run = summary["id"]
    shown = agent(tmp_path, "show", run[:7], cwd=tmp_path).stdout
    assert "edit calc.py" in shown
    assert "regression_free:" in shown
    assert "prompt" in agent(tmp_path, "show", run, "--tokens", cwd=tmp_path).stdout

    source = task.repository / "calc.py"
    before = source.read_bytes()
    assert agent(tmp_path, "apply", run, cwd=tmp_path).returncode == 0
    assert b"/ len(values)" in source.read_bytes()
    assert agent(tmp_path, "apply", run, cwd=tmp_path).returncode == 5
    assert agent(tmp_path, "undo", run, cwd=tmp_path).returncode == 0
    assert source.read_bytes() == before
    refused = agent(tmp_path, "undo", run, cwd=tmp_path)
    assert refused.returncode == 5
    assert "nothing was taken back" in refused.stderr


def test_the_last_lines_are_what_to_do_next(tmp_path: Path) -> None:
    task = proved_task(tmp_path / "repository")
    with ScriptedServer(script(task, task.gold)) as server:
        said = agent(
            tmp_path, "solve", task.issue, "--base-url", server.base_url, "--sandbox", "none",
            "--test-command", FAST, cwd=task.repository,
        ).stdout.splitlines()  # fmt: skip
    [run] = ids(root=tmp_path / "state" / "agent" / "runs")
    assert [line.split(maxsplit=1) for line in said[-3:]] == [
        ["look:", "git diff HEAD...agent/mean-is-too-large"],
        ["apply:", f"agent apply {run}"],
        ["undo:", "git branch -D agent/mean-is-too-large"],
    ]
    table = agent(tmp_path, "runs", cwd=tmp_path).stdout
    assert all(word in table for word in (run, "mean() is too large", "finished", "proved", "4"))
    assert ids(run[:6], tmp_path / "state" / "agent" / "runs") == [run]
    assert agent(tmp_path, "clean", "--older-than", "12h", cwd=tmp_path).stdout == (
        "0 runs removed\n"
    )
    assert agent(tmp_path, "clean", "--older-than", "0m", cwd=tmp_path).stdout == "1 run removed\n"
    wrong = agent(tmp_path, "clean", "--older-than", "soon", cwd=tmp_path)
    assert (wrong.returncode, "30d, 12h" in wrong.stderr) == (2, True)


def test_an_attempt_is_not_in_the_way_of_its_run(tmp_path: Path) -> None:
    for name in ("1121-aa0001", "1121-aa0001.1", "1121-aa0001.2"):
        Run(tmp_path / name, name).close()
    assert find("1121-aa", tmp_path).name == "1121-aa0001"
    assert find("1121-aa0001.2", tmp_path).name == "1121-aa0001.2"


def test_unknown_and_ambiguous_ids_are_named(tmp_path: Path) -> None:
    for name in ("1121-aa0001", "1121-aa0002"):
        Run(tmp_path / name, name).close()
    with pytest.raises(RunError, match="no run"):
        find("9", tmp_path)
    with pytest.raises(RunError, match="1121-aa0001, 1121-aa0002"):
        find("1121", tmp_path)
    assert find("1121-aa0002", tmp_path).name == "1121-aa0002"


def test_only_old_runs_that_nobody_holds_are_removed(tmp_path: Path) -> None:
    for name in ("held", "free"):
        run = Run(tmp_path / name, name)
        run.append("run_started", issue="x", repository="y", server={}, settings={}, tools=[])
        if name == "free":
            run.close()
        else:
            held = run
    assert {each.id: each.state for each in summaries(tmp_path)} == {
        "held": "running", "free": "stopped",
    }  # fmt: skip
    assert clean(60, tmp_path) == []
    assert clean(0, tmp_path) == ["free"]
    held.close()
