"""The conversation is rebuilt from the log, only ever grows, and knows what is unanswered."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from reapair.agent.log.conversation import Conversation
from reapair.agent.log.event_log import Run
from reapair.agent.loop.context_budget import budget_notice


def _call(call_id: str) -> dict[str, Any]:
    return {"id": call_id, "name": "read", "arguments": {"path": "a"}, "error": None, "notes": []}


def _episode(run: Run) -> None:
    run.append("request", 1, messages=[{"role": "system", "content": "s"}])
    answer = {"outcome": "tool_calls", "usage": {}, "finish_reason": None, "salvaged": False,
              "detail": ""}  # fmt: skip
    calls = [_call("a"), _call("b")]
    run.append("response", 1, message={"role": "assistant"}, calls=calls, **answer)
    run.append("tool_intent", 1, call_id="a", name="read", arguments={})
    run.append("tool_result", 1, call_id="a", name="read", content="A", ok=True, data={})
    run.append("tool_intent", 1, call_id="b", name="read", arguments={})


def test_rebuilt_history_is_the_live_one(tmp_path: Path) -> None:
    run = Run(tmp_path / "r", "r")
    live = Conversation()
    run.listen(live.apply)
    _episode(run)
    run.close()
    rebuilt = Conversation(Run(tmp_path / "r", "r").events)
    assert rebuilt.messages == live.messages
    assert [call["id"] for call in rebuilt.unanswered] == ["b"]
    assert rebuilt.interrupted("b")
    assert not rebuilt.interrupted("a")


def test_history_only_grows(tmp_path: Path) -> None:
    run = Run(tmp_path / "r", "r")
    history = Conversation()
    before: list[Any] = []

    def check(_: object) -> None:
        assert history.messages[: len(before)] == before
        before[:] = copy.deepcopy(history.messages)

    run.listen(history.apply)
    run.listen(check)
    _episode(run)
    run.append("discarded", 1, content="nonsense")
    run.append("tool_result", 1, call_id="b", content="B", ok=True, data={})
    assert [message["role"] for message in history.messages] == [
        "system", "assistant", "tool", "tool",
    ]  # fmt: skip
    assert not history.unanswered


def test_budget_is_said_at_a_half_four_fifths_and_the_end() -> None:
    said = [step for step in range(1, 51) if budget_notice(step, 50)]
    assert said == [25, 40, 47, 48, 49, 50]
