"""One patch proved from issue to branch in every kind of sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import require

from reapair.agent.result import Verdict
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import solve
from reapair.sandbox.base import Kind
from support.proved import FAST
from support.sandboxes import KINDS, Missing
from support.scripted_server import ScriptedServer
from support.tasks import own_tasks, script


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, missing: Missing) -> Kind:
    kind: Kind = request.param
    require(kind, not missing(kind), missing(kind))
    return kind


# Not marked as needing an engine: `none` needs no engine, and the others say themselves what is
# missing.
@pytest.mark.slow
def test_a_patch_is_proved_and_its_lines_are_seen(kind: Kind, tmp_path: Path) -> None:
    [task, *_] = own_tasks(tmp_path / "tasks")
    old = "assert 0 <= clamp(value, 0, 10) <= 10"
    new = f"{old}\n\n\ndef test_mean():\n    assert mean([2, 4]) == 3\n"
    turns = script(task, [("test_calc.py", old, new), *task.gold])
    with ScriptedServer(turns) as server:
        settings = Settings(
            base_url=server.base_url, runs=tmp_path / "runs", sandbox=kind, test_command=FAST
        )
        result = solve(task.issue, task.repository, settings)
    assert result.verdict is Verdict.PROVED
    assert result.evidence.reach == "lines"
    assert result.branch
