"""What becomes of imperfect output once vLLM's own parsers have been at it.

The goldens are made by `make_vllm_goldens.py` from vLLM 0.33.0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reapair.agent.model import counting
from reapair.agent.model.outcomes import classify
from reapair.agent.model.reply import StreamReader, read_body
from reapair.agent.model.types import Answer, Outcome
from support.sse import TOOLS

GOLDENS = [
    json.loads(line)
    for line in (Path(__file__).parent / "goldens/vllm.jsonl").read_text("utf-8").splitlines()
]

# name: outcome whole and streamed, where it is not a call of `read` for a.py
EXPECTED = {
    "no arguments": "missing",
    "unknown tool": Outcome.FINAL_TEXT,
    "unknown tool, no text": Outcome.REASONING_ONLY,
    "JSON in the call": Outcome.REASONING_ONLY,
    "cut inside a value": Outcome.TRUNCATED,
    "cut inside the second value": Outcome.TRUNCATED,
    "cut inside the name": Outcome.TRUNCATED,
    "argument given twice": Outcome.FORMAT_ERROR,
    "end of call inside a value": Outcome.FORMAT_ERROR,
    "thinking never ends": Outcome.REASONING_ONLY,
    "thinking cut": Outcome.TRUNCATED,
}
# vLLM hands these out whole as valid JSON: an argument is gone, or the last one has won.
WHOLE = {"argument given twice": Outcome.TOOL_CALLS, "end of call inside a value": "missing"}


def finish(golden: dict[str, Any]) -> str:
    """Return the reason that vLLM's server gives."""
    called = golden["message"]["tool_calls"] and golden["stopped"] == "stop"
    return "tool_calls" if called else str(golden["stopped"])


def whole(golden: dict[str, Any]) -> Answer:
    choice = {"message": golden["message"], "finish_reason": finish(golden)}
    return classified(read_body({"choices": [choice]}, 1.0))


def streamed(golden: dict[str, Any]) -> Answer:
    chunks = [{"choices": [{"delta": delta}]} for delta in golden["deltas"]]
    chunks.append({"choices": [{"delta": {}, "finish_reason": finish(golden)}]})
    return classified(StreamReader(None).read(chunks))


def classified(reply: Any) -> Answer:
    return classify(reply, [], TOOLS, counting.usage(reply))


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden["name"])
def test_every_output_has_its_outcome(golden: dict[str, Any]) -> None:
    name = golden["name"]
    expected = EXPECTED.get(name, Outcome.TOOL_CALLS)
    for answer, wanted in (
        (streamed(golden), expected),
        (whole(golden), WHOLE.get(name, expected)),
    ):
        if wanted == "missing":
            assert answer.outcome is Outcome.TOOL_CALLS
            assert "is missing" in (answer.calls[0].error or "")
            continue
        assert answer.outcome is wanted, name
        if wanted is Outcome.TRUNCATED:
            assert (answer.calls, answer.message) == ((), None)
        assert answer.reasoning.startswith("I look")


def test_arguments_come_through_as_they_were_written() -> None:
    by_name = {golden["name"]: golden for golden in GOLDENS}
    for way in (whole, streamed):
        assert way(by_name["multi-line value"]).calls[0].arguments == {"command": "cat <<E\n<a>\nE"}
        assert way(by_name["integer"]).calls[0].arguments == {"path": "a.py", "start_line": 5}
        assert way(by_name["string that is a number"]).calls[0].arguments == {"path": "123"}
        assert [call.name for call in way(by_name["two calls"]).calls] == ["read", "bash"]
        unknown = way(by_name["unknown argument"]).calls[0]
        assert unknown.arguments == {"path": "a.py"}
        assert "colour" in unknown.notes[0]
