"""Tools of the user's own, and the other profiles, in whole runs; only the model is scripted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reapair.agent.log.event_log import Run
from reapair.agent.result import ExitReason
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import UsageError, resume, solve
from reapair.sandbox.base import Sandbox
from reapair.tools import tool
from support.scripted_server import ScriptedServer
from support.tasks import Task, own_tasks, turn

pytestmark = pytest.mark.engine


def count_lines(path: str, sandbox: Sandbox) -> str:
    """Count the lines of a file.

    Args:
        path: The file.
    """
    return f"{len(sandbox.read(path).splitlines())} lines"


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return own_tasks(tmp_path / "tasks")[0]


def settings_for(server: ScriptedServer, tmp_path: Path, **others: Any) -> Settings:
    return Settings(base_url=server.base_url, runs=tmp_path / "runs", sandbox="none", **others)


def test_an_own_tool_is_offered_called_and_asked_for_again(task: Task, tmp_path: Path) -> None:
    turns = [turn("count_lines", path=task.gold[0][0]), turn("bash", command="true")]
    with ScriptedServer(turns) as server:
        chosen = settings_for(server, tmp_path, max_steps=2)
        result = solve(task.issue, task.repository, chosen, tools=[tool(count_lines)])
        offered = [entry["function"]["name"] for entry in server.chats[0]["tools"]]
        said = [message for message in server.chats[1]["messages"] if message["role"] == "tool"]
        with pytest.raises(UsageError, match="these differ: count_lines"):
            resume(Run(result.directory, result.run_id), instruction="Go on.")
    assert result.exit_reason is ExitReason.STEP_LIMIT
    assert offered[-2:] == ["submit", "count_lines"]
    assert said[0]["content"].split()[1] == "lines"


def test_the_swe_smith_profile(task: Task, tmp_path: Path) -> None:
    path, old, new = task.gold[0]
    turns = [
        turn(
            "str_replace_editor",
            command="str_replace",
            path=f"/testbed/{path}",
            old_str=old,
            new_str=new,
        ),
        *[turn("submit")] * 8,  # the review, and a proof that has no new test is given back
    ]
    with ScriptedServer(turns) as server:
        chosen = settings_for(server, tmp_path, tools="swe-smith")
        result = solve(task.issue, task.repository, chosen)
        first = server.chats[0]
    assert result.exit_reason is ExitReason.SUBMITTED
    assert result.files == [path]
    assert "str_replace needs old_str" in json.dumps(first["messages"][0])
    assert [entry["function"]["name"] for entry in first["tools"]] == [
        "bash",
        "str_replace_editor",
        "submit",
    ]
