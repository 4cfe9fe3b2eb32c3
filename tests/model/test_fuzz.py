"""Random and broken input, by the ten thousand: no crash, no slow input, nothing lost.

`REAPAIR_FUZZ` sets the number of inputs per target; the default is for every run of the tests,
and `test_at_length` takes ten million.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from reapair.agent.model import counting
from reapair.agent.model.call_assembly import RawCall
from reapair.agent.model.control_tokens import ANY_FAMILY
from reapair.agent.model.event_stream import ServerError
from reapair.agent.model.outcomes import classify
from reapair.agent.model.reply import Reply, StreamReader, read_answer, read_body
from reapair.agent.model.salvage import salvage
from reapair.agent.model.toolcalls import MalformedArguments, check
from reapair.agent.model.types import Outcome
from support.sse import CAPTURES, TOOLS, chunks

pytestmark = pytest.mark.slow

INPUTS = int(os.environ.get("REAPAIR_FUZZ", "100000"))
LENGTHY = 10_000_000

WORDS = [
    "<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "read",
    "bash", "path", "command", "<function=read>", "</function>", "<parameter=path>", "</parameter>",
    '<invoke name="bash">', "</invoke>", '{"name": "read", "arguments": {"path": "a"}}', '{"a": 1',
    "}", "{", '"', "\\", ":", ",", "[", "]", "null", "1e999", "\\ud800", "<think>", "</think>",
    "<|user|>", "<~|user|>", "[gMASK]", "~", "```", "`", ">", "/>", "=", "(", ")", "'", "\n", " ",
    "\0", "\ud800", "é", "𝔘", "-", "5", "true", 'read(path="a")', "read>a", "/nothink",
]  # fmt: skip


def text(source: random.Random) -> str:
    return "".join(source.choices(WORDS, k=source.randrange(14)))


def fuzz_control(source: random.Random) -> None:
    given = text(source)
    encoded = ANY_FAMILY.encode(given)
    assert ANY_FAMILY.decode(encoded) == given
    assert ANY_FAMILY.encode(ANY_FAMILY.decode(encoded)) == encoded


def fuzz_arguments(source: random.Random) -> None:
    raw = RawCall("i", source.choice(WORDS), text(source))
    try:
        checked = check(raw, TOOLS, "i")
    except MalformedArguments:
        return
    stored = json.loads(checked.stored["function"]["arguments"])
    assert isinstance(stored, dict)
    json.dumps(stored, ensure_ascii=False).encode()
    assert checked.call.error or checked.call.name in {"read", "search", "edit", "bash"}


def fuzz_salvage(source: random.Random) -> None:
    given = text(source)
    found = salvage(given, TOOLS)
    if found is None:
        return
    assert given.startswith(found.before)
    for call in found.calls:
        assert isinstance(json.loads(call.arguments), dict)
    assert salvage(given, TOOLS, [given]) is None


def fuzz_reply(source: random.Random) -> None:
    def any_of(*values: Any) -> Any:
        return source.choice(values)

    function = any_of(None, {"name": text(source), "arguments": text(source)})
    entry = {"index": any_of(0, 1, None, "x", -1), "id": any_of("a", None, 3), "function": function}
    kind = any_of("content", "reasoning", "reasoning_content", "refusal", "x")
    delta = {
        kind: any_of(text(source), None, 3, []),
        "tool_calls": any_of([entry, entry], None, [3], "x"),
    }
    choice = {
        "delta": any_of(delta, None),
        "message": any_of(delta, None),
        "finish_reason": any_of("stop", "length", "tool_calls", None, 3, "x"),
    }
    usage = any_of({}, None, {"prompt_tokens": 3})
    body = {"choices": any_of([choice], [], None, [3]), "usage": usage}
    try:
        reply = StreamReader(None).read([body, 3, body]) if any_of(0, 1) else read_body(body, 0.1)
    except ServerError:
        return
    sound(reply)


FRAGMENTS = [
    b"data:", b"data: ", b"\n", b"\r", b"\n\n", b"{", b"}", b"[", b'"', b"\xff", b"\xef\xbb\xbf",
    b": x\n", b"event: error\n", b"id: 3\n", b"null", b"data: [DONE]\n\n", b'{"error": "x"}',
    b"NaN", b'{"choices":[]}', b"\\ud800", b"1e999", b"\0",
]  # fmt: skip
EVENTS = [
    event
    for file in sorted(CAPTURES.glob("*.sse"))
    for event in file.read_bytes().split(b"\n\n")
    if 0 < len(event) < 400
]


def fuzz_stream(source: random.Random) -> None:
    parts = source.choices(EVENTS, k=source.randrange(6))
    parts += source.choices(FRAGMENTS, k=source.randrange(6))
    source.shuffle(parts)
    data = source.choice([b"\n\n", b""]).join(parts)
    size = source.choice([1, 3, 64, 4096])
    pieces = (data[start : start + size] for start in range(0, len(data), size))
    with contextlib.suppress(ServerError, ValueError):
        sound(read_answer(pieces, StreamReader(None)))


def fuzz_calls(source: random.Random) -> None:
    texts = ['{"path": "a"}', '{"pa', 'th": "a"}', "{}", "", "[1]", '"', "\\", {}, {"path": "a"}, 3]
    chunks = [
        {
            "index": source.choice([0, 1, 2, None, "x", -1]),
            "id": source.choice(["a", "b", "", None, 3]),
            "function": {
                "name": source.choice(["read", "bash<|x|>", "nope", "", 3]),
                "arguments": source.choice(texts),
            },
        }
        for _ in range(source.randrange(7))
    ]
    stream = [{"choices": [{"delta": {"tool_calls": [chunk]}}]} for chunk in chunks]
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    sound(StreamReader(None).read([*stream, end]))


def sound(reply: Reply) -> None:
    """Check what must hold of every classified answer."""
    answer = classify(reply, [], TOOLS, counting.usage(reply))
    assert (answer.message is not None) == (
        answer.outcome in (Outcome.TOOL_CALLS, Outcome.FINAL_TEXT)
    )
    assert bool(answer.calls) == (answer.outcome is Outcome.TOOL_CALLS)
    if reply.finish_reason in (None, "length", "repetition"):
        assert not answer.calls


TARGETS = [fuzz_control, fuzz_arguments, fuzz_salvage, fuzz_reply, fuzz_stream, fuzz_calls]


def run(target: Callable[[random.Random], None], inputs: int) -> None:
    source = random.Random(target.__name__)
    for _ in range(inputs):
        state = source.getstate() if inputs <= 1_000 else None
        began = time.process_time()
        target(source)
        assert time.process_time() - began < 2, f"slow after {state}"


@pytest.mark.parametrize("target", TARGETS)
def test_briefly(target: Callable[[random.Random], None]) -> None:
    run(target, INPUTS // len(TARGETS))


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("target", TARGETS)
def test_at_length(target: Callable[[random.Random], None]) -> None:
    run(target, LENGTHY // len(TARGETS))


def test_broken_streams_of_a_real_server() -> None:
    """Bytes flipped, cut and moved in captured streams; read in pieces of any size."""
    streams = [file.read_bytes() for file in sorted(CAPTURES.glob("*.sse"))]
    source = random.Random(1)
    for _ in range(max(INPUTS // 250, 100)):
        data = bytearray(source.choice(streams))
        for _ in range(source.randrange(4)):
            start = source.randrange(len(data))
            end = min(len(data), start + source.randrange(1, 300))
            piece = data[start:end]
            if source.random() < 0.5:
                del data[start:end]
            else:
                data[start:start] = source.choice([piece, b"\n", b"\xff", b"data: ", b'"', b"}"])
        size = source.choice([3, 64, 4096])
        pieces = (bytes(data[i : i + size]) for i in range(0, len(data), size))
        try:
            reply = StreamReader(None).read(chunks(pieces))
        except (ServerError, ValueError):  # what the client takes for a broken stream
            continue
        sound(reply)


@pytest.mark.parametrize("word", WORDS)
def test_one_word_for_ever_takes_linear_time(word: str) -> None:
    given = word * (100_000 // len(word))
    began = time.process_time()
    ANY_FAMILY.decode(ANY_FAMILY.encode(given))
    salvage(given, TOOLS)
    with contextlib.suppress(MalformedArguments):
        check(RawCall("", "read", given), TOOLS, "i")
    sound(Reply(content=given, finish_reason="stop"))
    assert time.process_time() - began < 4
