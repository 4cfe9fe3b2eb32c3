"""Episodes for training code: the model is whoever calls `step`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reapair import Settings, StepEnvironment, messages_of
from support.tasks import Task, own_tasks, script


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return own_tasks(tmp_path / "tasks")[0]


def message(turn: dict[str, Any]) -> dict[str, Any]:
    calls = [{"type": "function", "function": call} for call in turn["tool_calls"]]
    return {"role": "assistant", "reasoning_content": turn["reasoning"], "tool_calls": calls}


def environment(task: Task, tmp_path: Path, **more: Any) -> StepEnvironment:
    settings = Settings(sandbox="none", runs=tmp_path / "runs", keep=False, branch=False)
    return StepEnvironment(task.issue, task.repository, settings, **more)


def test_an_episode_from_reset_to_reward(task: Task, tmp_path: Path) -> None:
    reward = {"empty": 0.5}
    with environment(task, tmp_path, reward=lambda result: reward[result.verdict]) as episode:
        for _ in range(2):
            seen = episode.reset()
            assert [each["role"] for each in seen.messages] == ["system", "user"]
            for turn in script(task, []):
                before = seen.messages
                seen = episode.step(message(turn))
                assert seen.done or seen.messages[: len(before)] == before
            assert (seen.done, seen.reward) == (True, 0.5)
            assert seen.result
            assert messages_of(seen.result)[: len(before)] == before
        with pytest.raises(RuntimeError, match="Call reset first"):
            episode.step({})
    assert list((tmp_path / "runs").iterdir()) == []


def test_bad_answers_are_told_of_as_in_every_run(task: Task, tmp_path: Path) -> None:
    with environment(task, tmp_path) as episode:
        episode.reset()
        seen = episode.step({"role": "assistant", "content": "I would look at the code."})
        assert seen.messages[-1]["role"] == "system"
        assert "no tool call" in seen.messages[-1]["content"]
        written = (
            "<tool_call>bash<arg_key>command</arg_key><arg_value>echo hi</arg_value></tool_call>"
        )
        seen = episode.step({"role": "assistant", "content": written})
        assert seen.messages[-1]["role"] == "tool"
        assert "hi" in seen.messages[-1]["content"]
    assert list((tmp_path / "runs").iterdir()) == []


def test_what_cannot_begin_is_raised(tmp_path: Path) -> None:
    with (
        StepEnvironment("x", tmp_path, Settings()) as episode,
        pytest.raises(Exception, match="git work tree"),
    ):
        episode.reset()
