"""A model that goes round in circles is ended as `loop`, and its tree is judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reapair.agent.result import ExitReason
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import solve
from support.proved import FAST, proved_task
from support.scripted_server import ScriptedServer
from support.tasks import turn

CIRCLES = {
    "one call": [turn("bash", command="ls")],
    "two in turn": [turn("bash", command="ls"), turn("read", path="calc.py")],
    "three in turn": [turn("bash", command="ls"), turn("read", path="calc.py"),
                      turn("search", pattern="mean")],
    "another output each time": [turn("bash", command="date +%N")],
    "a change that changes nothing": [turn("bash", command="touch calc.py")],
}  # fmt: skip


@pytest.mark.engine
@pytest.mark.parametrize("kind", CIRCLES)
def test_a_circle_ends_below_thirty_requests(kind: str, tmp_path: Path) -> None:
    task = proved_task(tmp_path / "repository")
    edit = turn("edit", path="calc.py", old_str="/ (len(values) - 1)", new_str="/ len(values)")
    circle = CIRCLES[kind]
    asked = 0

    def answer(_: dict[str, Any]) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return edit if asked == 1 else circle[asked % len(circle)]

    with ScriptedServer(answer) as server:
        settings = Settings(
            base_url=server.base_url, sandbox="none", runs=tmp_path / "runs", test_command=FAST
        )
        result = solve(task.issue, task.repository, settings)
    assert result.exit_reason is ExitReason.LOOP
    assert asked < 30
    assert "len(values)" in (result.directory / "patch.diff").read_text()
