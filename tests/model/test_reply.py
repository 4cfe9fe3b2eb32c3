"""Streams of real servers, put together; what the pieces look like must not matter."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from reapair.agent.model import counting
from reapair.agent.model.event_stream import ServerError
from reapair.agent.model.outcomes import classify
from reapair.agent.model.reply import Reply, StreamReader, read_body
from reapair.agent.model.types import Answer, Outcome, Progress, Usage
from support.scripted_server import ScriptedServer
from support.sse import CAPTURES, TOOLS, chunks, tool


def captured(name: str, size: int = 100) -> Reply:
    data = (CAPTURES / f"{name}.sse").read_bytes()
    return StreamReader(None).read(chunks(data[i : i + size] for i in range(0, len(data), size)))


def answer(reply: Reply) -> Answer:
    tools = [*TOOLS, tool("read_file", "path", offset="integer")]
    return classify(reply, [], tools, counting.usage(reply))


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_two_calls(size: int) -> None:
    result = answer(captured("two_calls", size))
    assert result.outcome is Outcome.TOOL_CALLS
    assert result.reasoning == "I need both the code and its tests."
    assert result.content == "I'll read the code and the tests."
    assert [call.arguments for call in result.calls] == [
        {"path": "text.py"},
        {"path": "test_text.py"},
    ]
    assert len({call.id for call in result.calls}) == 2
    assert result.message is not None
    stored = [call["function"]["arguments"] for call in result.message["tool_calls"]]
    assert stored == ['{"path":"text.py"}', '{"path":"test_text.py"}']
    usage = result.usage
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (637, 636, 43)
    assert usage.reasoning_tokens in range(5, 25)
    assert usage.decode_tokens_per_second is not None
    assert usage.decode_tokens_per_second > 1000


def test_a_cut_call_is_neither_run_nor_stored() -> None:
    reply = captured("truncated")
    assert reply.calls[0].arguments.startswith('{"pattern":')
    result = answer(reply)
    assert (result.outcome, result.message, result.calls) == (Outcome.TRUNCATED, None, ())


def test_a_call_in_open_thinking_is_found_and_stored_in_its_place() -> None:
    result = answer(captured("call_in_thinking"))
    assert result.outcome is Outcome.TOOL_CALLS
    assert result.salvaged
    assert [call.name for call in result.calls] == ["read_file", "read_file"]
    assert result.message is not None
    assert result.message["reasoning_content"] == "I'll read the code and the tests."


def test_final_text() -> None:
    result = answer(captured("final_text"))
    assert result.outcome is Outcome.FINAL_TEXT
    assert result.content == "Fixed mean() in calc.py and submitted the change."
    assert result.message == {
        "role": "assistant",
        "content": result.content,
        "reasoning_content": "The work is submitted.",
    }


def test_progress_of_the_prefill_and_first_words() -> None:
    shown: list[Progress] = []
    data = (CAPTURES / "prefill_progress.sse").read_bytes()
    StreamReader(shown.append).read(chunks([data]))
    assert [(p.done, p.total) for p in shown if p.kind == "prefill"] == [(0, 27), (27, 27)]
    assert [p.text for p in shown if p.kind == "reasoning"][:2] == [" dig", "mented"]


@pytest.mark.parametrize("capture", ["two_calls", "final_text"])
def test_the_scripted_server_speaks_as_the_real_one(capture: str) -> None:
    """Its chunks have the fields of the captured ones, in the same order of kinds."""
    real = list(chunks([(CAPTURES / f"{capture}.sse").read_bytes()]))
    calls = [{"name": "read_file", "arguments": {"path": "text.py"}}] * 2
    turn: dict[str, Any] = {"reasoning": "I need both.", "content": "I'll read the code."}
    if capture == "two_calls":
        turn["tool_calls"] = calls
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    with ScriptedServer([turn]) as server, httpx2.Client(trust_env=False) as client:
        sent = client.post(f"{server.base_url}/chat/completions", json=body)
    ours = list(chunks([sent.content]))
    assert _kinds(ours) == _kinds(real)
    assert set(ours[-1]["timings"]) <= set(real[-1]["timings"])
    assert ours[-1]["usage"].keys() == real[-1]["usage"].keys()


def _kinds(stream: list[Any]) -> list[Any]:
    """Return the shapes of the deltas, repeats left out."""
    shapes: list[Any] = []
    for chunk in stream:
        choice = chunk["choices"][0] if chunk["choices"] else {}
        delta = choice.get("delta", {})
        calls = delta.get("tool_calls")
        inner = (sorted(calls[0]), sorted(calls[0]["function"]), calls[0]["index"]) if calls else ()
        shape = (sorted(delta), inner, choice.get("finish_reason"))
        if not shapes or shapes[-1] != shape:
            shapes.append(shape)
    return shapes


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def call(index: Any, text: str, name: str = "", call_id: str = "") -> dict[str, Any]:
    entry = {"function": {"arguments": text} | ({"name": name} if name else {})}
    return delta(tool_calls=[entry | ({"id": call_id} if call_id else {})
                             | ({} if index is None else {"index": index})])  # fmt: skip


def test_both_names_for_reasoning_are_one() -> None:
    reply = StreamReader(None).read(
        [
            delta(reasoning="a", reasoning_content="a"),
            delta(reasoning="b"),
            delta(reasoning_content="c"),
        ]
    )
    assert reply.reasoning == "abc"


@pytest.mark.parametrize(
    "indexes", [(0, 0, 1, 1), (None, None, None, None), (0, 0, 0, 0), (1, 1, 5, 5)]
)
def test_calls_are_told_apart_however_they_are_numbered(indexes: tuple[Any, ...]) -> None:
    first, second, third, fourth = indexes
    reply = StreamReader(None).read(
        [
            call(first, '{"a"', "read", "x"),
            call(second, ":1}"),
            call(third, '{"b"', "edit", "y"),
            call(fourth, ":2}"),
        ]
    )
    assert [(c.id, c.name, c.arguments) for c in reply.calls] == [
        ("x", "read", '{"a":1}'),
        ("y", "edit", '{"b":2}'),
    ]


def test_an_error_among_the_chunks_is_raised() -> None:
    with pytest.raises(ServerError, match="no more"):
        StreamReader(None).read([delta(content="a"), {"error": {"message": "no more"}}])


@pytest.mark.parametrize("strange", [None, [], "x", 3, {"choices": None}, {"choices": [None]},
                                     {"choices": [{"delta": None}]}, delta(tool_calls=[None]),
                                     delta(tool_calls=[{"index": "a", "function": None}]),
                                     delta(content=3), {"usage": [], "timings": 3}])  # fmt: skip
def test_strange_chunks_are_passed_over(strange: Any) -> None:
    finish = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    reply = StreamReader(None).read([delta(content="a"), strange, delta(content="b"), finish])
    assert (reply.content, reply.finish_reason) == ("ab", "stop")
    assert counting.usage(reply).prompt_tokens is None


def test_thinking_beyond_its_limit_is_cut_off() -> None:
    endless = (delta(reasoning=f"thought {number}, ") for number in range(1_000_000))
    reply = StreamReader(None, reasoning_limit=1_000).read(endless)
    assert reply.finish_reason == "length"
    assert len(reply.reasoning) < 1_100


def test_arguments_as_an_object_in_a_whole_body() -> None:
    function = {"name": "read", "arguments": {"path": "ü"}}
    message = {"role": "assistant", "content": None, "tool_calls": [{"function": function}]}
    reply = read_body({"choices": [{"message": message, "finish_reason": "tool_calls"}]}, 0.5)
    assert reply.calls[0].arguments == json.dumps({"path": "ü"}, ensure_ascii=False)
    assert answer(reply).calls[0].id == "call_0_0"


@pytest.mark.parametrize("body", [None, [], {}, {"choices": []}, {"choices": [{"message": None}]}])
def test_strange_bodies(body: Any) -> None:
    try:
        reply = read_body(body, 0.1)
    except ServerError:
        return
    assert answer(reply).outcome is Outcome.BROKEN_STREAM


def test_speeds_come_from_our_own_clock_where_the_server_tells_none() -> None:
    reply = Reply(usage={"prompt_tokens": 110, "completion_tokens": 20}, seconds=3.0,
                  seconds_to_first_token=1.0)  # fmt: skip
    usage = counting.usage(reply)
    assert usage.prefill_tokens_per_second == pytest.approx(110)
    assert usage.decode_tokens_per_second == pytest.approx(10)
    assert (usage.prefill_seconds, usage.decode_seconds) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("cached", "reused"), [(90, 0), (100, 0), (120, 20), (150, 30), (None, None)]
)
def test_what_is_reused_of_an_answer(cached: int | None, reused: int | None) -> None:
    before = Usage(prompt_tokens=100, completion_tokens=30)
    now = Usage(prompt_tokens=160, cached_tokens=cached)
    assert counting.generated_reused(now, before) == reused
    assert counting.generated_reused(now, None) is None
