"""The way without a key and without a server: the action starts llama.cpp itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from reapair.agent.serve.hardware import Machine
from reapair.agent.serve.plan import make_plan
from support import github_events as events
from support.action import ROOT, run_action
from support.github_server import GitHubServer
from support.github_state import READS, WRITES, State
from support.tasks import Task

GIB = 1024**3


def test_what_a_free_runner_gets_fits_it() -> None:
    plan = make_plan(Machine(16 * GIB, 4, ()), ["embedded"])
    assert plan.engine == "embedded"
    assert "Q2_K" in plan.model
    assert plan.context >= 32_768
    assert plan.warnings


@pytest.mark.llama
@pytest.mark.long
def test_a_server_of_the_actions_own(
    tmp_path: Path, task: Task, state: State, github: GitHubServer
) -> None:
    """A tiny model that knows nothing of this issue: no change, a comment, a green job."""
    work = tmp_path / "work"
    event = events.write(events.labeled(state, 7, "writer"), tmp_path / "event.json")
    environment = {k: v for k, v in github.environment("").items() if k != "GITHUB_TOKEN"}
    inputs = {
        **{"job": "solve", "token": READS, "serve": "true", "sandbox": "none"},
        **{"model": str(ROOT / "agent/demo/model.gguf"), "max-minutes": "1"},
    }
    solved = run_action(work, inputs, environment, event, "issues")
    print(solved.log)
    assert solved.code == 0
    assert solved.steps[1:] == ["Start a model server", "Solve", "Stop the model server"]
    inputs = {"job": "publish", "token": WRITES}
    published = run_action(work, inputs, environment, event, "issues")
    assert published.code == 0, published.log
    assert state.pulls == {}
    (comment,) = state.comments.values()
    assert "no change that I could stand up for" in comment["body"]
