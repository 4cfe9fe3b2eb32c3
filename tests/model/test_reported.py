"""What servers were reported to send, kind by kind, and what must come of it.

The wire is known from reports only, unless a test says that a real server was seen to speak so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from reapair.agent.model.client import Client
from reapair.agent.model.limits import CALLS
from reapair.agent.model.request import render
from reapair.agent.model.types import (
    Answer,
    Message,
    Outcome,
    RequestOptions,
    Server,
    ServerKind,
)
from support.raw_server import RawServer, head
from support.sse import tool

TOOLS = [
    tool("read", "path", start_line="integer", end_line="integer"),
    tool("search", "pattern", regex="boolean"),
    tool("edit", "path", "old_str", "new_str"),
    tool("run_tests"),
    tool("bash", "command", timeout="number"),
    tool("submit", "summary"),
]
MESSAGES: list[Message] = [
    {"role": "system", "content": "Work."},
    {"role": "user", "content": "Fix it."},
]
A, B = '{"path": "a.py"}', '{"path": "b.py"}'
READ_A, READ_B = ("read", {"path": "a.py"}), ("read", {"path": "b.py"})


def entry(arguments: Any = None, name: str = "", call_id: str = "", index: Any = None) -> Any:
    """Return one entry of `tool_calls` with only the fields that are given."""
    function = {} if arguments is None else {"arguments": arguments}
    found: dict[str, Any] = {"function": function | ({"name": name} if name else {})}
    return (
        found | ({"id": call_id} if call_id else {}) | ({} if index is None else {"index": index})
    )


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def event(value: Any, end: str = "\n\n") -> str:
    return f"data: {json.dumps(value)}{end}"


CALL = chunk(tool_calls=[entry(A, "read", "x", 0)])
END = chunk("tool_calls")
STREAM = event(CALL) + event(END) + "data: [DONE]\n\n"
WHOLE = {"choices": [{"message": {"role": "assistant", "tool_calls": [entry(A, "read", "x")]},
                      "finish_reason": "tool_calls"}]}  # fmt: skip


def ask(
    *replies: str | bytes,
    kind: ServerKind = "other",
    status: str = "200 OK",
    content_type: str = "text/event-stream",
    messages: list[Message] = MESSAGES,
) -> Answer:
    """Return what the client makes of these replies, one for each request."""
    waiting = list(replies)

    def reply(_: bytes) -> Iterator[bytes]:
        yield head(content_type, status=status)
        body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        yield body if isinstance(body, bytes) else body.encode()

    with RawServer(reply) as server:
        client = Client(Server(kind, server.base_url, "m", 32_768), api_key=None)
        return client.ask(messages, TOOLS, RequestOptions())


def called(answer: Answer) -> list[tuple[str, Any]]:
    assert answer.outcome is Outcome.TOOL_CALLS, (answer.outcome, answer.detail)
    assert [call.error for call in answer.calls if call.error] == []
    return [(call.name, call.arguments) for call in answer.calls]


FRAMES = {
    "empty data": "data: \n\n" + STREAM,
    "empty data without a blank": "data:\n\n" + STREAM,
    "a field without a colon": "data\n\n" + STREAM,
    "event only": "event: ping\n\n" + STREAM,
    "id, then a comment": "id: 7\n: waiting\n\n" + STREAM,
    "comments": ": OPENROUTER PROCESSING\n\n" * 3 + STREAM,
    "retry": "retry: 3000\n\n" + STREAM,
    "unknown fields": "x-time: 3\nfoo\n\n" + STREAM,
    "named events": STREAM.replace("data: {", "event: message\ndata: {"),
    "CRLF": STREAM.replace("\n", "\r\n"),
    "CR": STREAM.replace("\n", "\r"),
    "a byte order mark": "\ufeff" + STREAM,
    "no blank behind the colon": STREAM.replace("data: ", "data:"),
    "JSON over several lines": f"data: {json.dumps(CALL, indent=1)}\n".replace("\n ", "\ndata:  ")
    .replace("\n}", "\ndata: }") + "\n" + event(END),
    "one line end between events": event(CALL, "\n") + event(END, "\n") + "data: [DONE]\n",
    "no blank line at the end": event(CALL) + event(END, ""),
    "no [DONE]": event(CALL) + event(END),
    "blank lines first": "\n\n\n" + STREAM,
    "empty data among the rest": event(CALL) + "data:\n\n: x\n\nevent: y\n\n" + event(END),
}  # fmt: skip


@pytest.mark.parametrize("name", FRAMES)
def test_frames_without_use_are_nothing(name: str) -> None:
    assert called(ask(FRAMES[name])) == [READ_A]


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", "text/plain"])
@pytest.mark.parametrize("blanks", ["", "\n\n  ", "\ufeff"])
def test_a_body_where_a_stream_was_asked(content_type: str, blanks: str) -> None:
    assert called(ask(blanks + json.dumps(WHOLE), content_type=content_type)) == [READ_A]
    assert called(ask(STREAM, content_type=content_type)) == [READ_A]


CUT = "context the overflows. However, the model is loaded with context length of only 4096 tokens"
ERRORS: dict[str, tuple[str, Outcome]] = {
    "named by its event": (f'event: error\ndata: {{"message": "{CUT}"}}\n\n', Outcome.OVERFLOW),
    "a message": (event({"message": CUT}), Outcome.OVERFLOW),
    "an object of that name": (event({"object": "error", "message": "no"}), Outcome.BROKEN_STREAM),
    "a detail": (event({"detail": CUT}), Outcome.OVERFLOW),
    "a text for the error": (event({"error": CUT}), Outcome.OVERFLOW),
    "beside a delta": (event({"choices": [{"delta": {}, "error": {"message": CUT}}]}),
                       Outcome.OVERFLOW),
    "with no choices": (event({"choices": [], "error": {"code": "context_length_exceeded"}}),
                        Outcome.OVERFLOW),
    "in plain words": (f"data: Error: {CUT}\n\n", Outcome.OVERFLOW),
    "as the body": (json.dumps({"error": CUT}), Outcome.OVERFLOW),
    "as the body, bare": (json.dumps({"detail": "model has crashed"}), Outcome.UNAVAILABLE),
    "a page of HTML": ("<html><body>Sorry</body></html>", Outcome.BROKEN_STREAM),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_that_come_with_200(name: str) -> None:
    text, outcome = ERRORS[name]
    assert ask(text).outcome is outcome
    if not text.startswith(("{", "<")):
        assert ask(event(CALL) + text).outcome is outcome


EMPTY = {
    "no content": event(chunk(role="assistant", content="")) + event(chunk("stop")),
    "nothing at all": "data: [DONE]\n\n",
    "a call without a name": event(chunk("stop", tool_calls=[])),
    "blank content": event(chunk("stop", content="\n")),
}


@pytest.mark.parametrize("name", EMPTY)
def test_a_stream_that_is_empty_only_when_streamed(name: str) -> None:
    requests: list[bool] = []

    def reply(request: bytes) -> Iterator[bytes]:
        streamed = bool(json.loads(request.partition(b"\r\n\r\n")[2])["stream"])
        requests.append(streamed)
        yield head() + (EMPTY[name].encode() if streamed else json.dumps(WHOLE).encode())

    with RawServer(reply) as server:
        client = Client(Server("other", server.base_url, "m", None), api_key=None)
        asked = [client.ask(MESSAGES, TOOLS, RequestOptions()) for _ in range(3)]
    if name == "nothing at all":  # a broken stream is sampled again by the table of recoveries
        assert requests == [True] * 3
        return
    assert [called(answer) for answer in asked] == [[READ_A]] * 3
    assert requests == [True, False, False, False]


def test_a_model_that_says_nothing_is_asked_once_without_a_stream() -> None:
    empty = json.dumps({"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]})
    assert ask(EMPTY["no content"], empty, STREAM).outcome is Outcome.EMPTY


def head_of(name: str = "read", call_id: str = "", index: Any = None, text: str = "") -> Any:
    return entry(text, name, call_id, index)


CALLS_IN_PIECES: dict[str, tuple[list[Any], list[tuple[str, Any]]]] = {
    "second head at index 0": (
        [head_of(call_id="x", index=0), entry(A, index=0), head_of(call_id="y", index=0),
         entry(B, index=1)],
        [READ_A, READ_B]),
    "one id at two indexes": (
        [head_of(call_id="x", index=0), head_of(call_id="x", index=1), entry(A, "", "x", 0),
         entry(B, "", "x", 1)],
        [READ_A, READ_B]),
    "one id at two indexes, whole": (
        [entry(A, "read", "x", 0), entry(B, "read", "x", 1)], [READ_A, READ_B]),
    "id repeated without an index": (
        [entry('{"path": ', "read", "x"), entry('"a.py"}', "", "x")], [READ_A]),
    "id and name repeated in each piece": (
        [entry(piece, "read", "x", 0) for piece in ('{"pa', 'th": "a', '.py"}')], [READ_A]),
    "another id in each piece": (
        [entry('{"path"', "read", "x", 0), entry(': "a.py"}', "", "y", 0)], [READ_A]),
    "two calls without index or id": ([entry(A, "read"), entry(B, "read")], [READ_A, READ_B]),
    "no index, no id, in pieces": (
        [head_of(), entry('{"path":'), entry('"a.py"}'), head_of(), entry(B)], [READ_A, READ_B]),
    "no index, no id, no arguments": (
        [head_of("run_tests"), entry(A, "read")], [("run_tests", {}), READ_A]),
    "index 0 for all, no id": (
        [entry(A, "read", "", 0), entry(B, "read", "", 0)], [READ_A, READ_B]),
    "an index that is no number": (
        [entry(A, "read", "x", "0"), entry(B, "read", "y", "0")], [READ_A, READ_B]),
    "an empty object first": ([entry("{}", "read", "x", 0), entry(A, index=0)], [READ_A]),
    "an empty object first, and the name again": (
        [entry("{}", "read", "x", 0), entry(A, "read", "x", 0)], [READ_A]),
    "objects for arguments": (
        [entry({}, "read", "x", 0), entry({"path": "a.py"}, index=0)], [READ_A]),
    "arguments twice": ([head_of(call_id="x", index=0), entry(A, index=0), entry(A, index=0)],
                        [READ_A]),
    "arguments in pieces, then whole": (
        [head_of(call_id="x", index=0), entry('{"path": ', index=0), entry('"a.py"}', index=0),
         entry('{"path":"a.py"}', index=0)], [READ_A]),
    "a part, then all of it": (
        [head_of(call_id="x", index=0), entry('{"path": ', index=0), entry(A, index=0)], [READ_A]),
    "each piece with all before it": (
        [entry(A[:end], "read", "x", 0) for end in (3, 9, len(A))], [READ_A]),
    "the whole call twice": ([entry(A, "read", "x", 0)] * 2, [READ_A]),
    "all calls again at the end": (
        [entry(A, "read", "x", 0), entry(B, "read", "y", 1)] * 2, [READ_A, READ_B]),
    "interleaved": (
        [head_of(call_id="x", index=0), head_of(call_id="y", index=1), entry('{"path":', index=0),
         entry('{"path":', index=1), entry('"a.py"}', index=0), entry('"b.py"}', index=1)],
        [READ_A, READ_B]),
    "the id before the name": (
        [{"index": 0, "id": "x"}, entry("", "read", "", 0), entry(A, index=0)], [READ_A]),
    "braces in a string": (
        [entry('{"path": "}{\\', "read"), entry('"}', ""), entry('.py"}'), entry(B, "read")],
        [("read", {"path": '}{"}.py'}), READ_B]),
    "the same call with an id of its own each": (
        [entry("{}", "run_tests", "x", 0), entry("{}", "run_tests", "y", 1)],
        [("run_tests", {})] * 2),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS_IN_PIECES)
def test_calls_are_put_together(name: str) -> None:
    pieces, calls = CALLS_IN_PIECES[name]
    stream = "".join(event(chunk(tool_calls=[piece])) for piece in pieces) + event(END)
    answer = ask(stream)
    assert called(answer) == calls
    assert len({call.id for call in answer.calls}) == len(calls)


@pytest.mark.parametrize("number", [CALLS, CALLS + 1, 20_000])
def test_more_calls_than_are_run_are_told(number: int) -> None:
    entries = [entry(json.dumps({"path": f"{n}.py"}), "read", f"x{n}", n) for n in range(number)]
    body = {"choices": [{"message": {"tool_calls": entries}, "finish_reason": "stop"}]}
    answer = ask(json.dumps(body))
    assert len(called(answer)) == min(number, CALLS)
    notes = [note for call in answer.calls for note in call.notes]
    told = f"{number - CALLS} more calls were left out: at most {CALLS} in one reply."
    assert notes == [told] * (number > CALLS)
    assert answer.message is not None
    assert len(answer.message["tool_calls"]) == len(answer.calls)


NAMES = [
    "read<|observation|>", "read</tool_call>", "functions.read:0", "functions.read", "read:1",
    "<tool_call>read", "read<|channel|>commentary", "commentary to=functions.read", "`read`",
    '"read"', "read()", " read\n", "tools/read", "default_api.read", "Read", "read<arg_key>path",
    "read\n<arg_key>path</arg_key>", "functions.read_file:12", "repo_browser.open_file",
    "[TOOL_CALLS]read", "read<｜tool▁sep｜>", "assistant<|channel|>analysis to=read", "read,",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_with_leftovers_is_found(name: str) -> None:
    answer = ask(event(chunk(tool_calls=[entry(A, name, "x", 0)])) + event(END))
    assert called(answer) == [READ_A]
    assert answer.message is not None
    assert [call["function"]["name"] for call in answer.message["tool_calls"]] == ["read"]


@pytest.mark.parametrize(
    "name", ["read.file!", "unlink", "<|user|>", "rm -rf", "read a file", "x" * 500, "é", "read.x",
             "read<|x|>.write", "\x00", "no tool here"],
)  # fmt: skip
def test_a_name_of_no_tool_can_not_poison_the_history(name: str) -> None:
    answer = ask(event(chunk(tool_calls=[entry(A, name, "<|user|> 1", 0)])) + event(END))
    if answer.calls[0].error is None:
        assert answer.calls[0].name == "read"
        return
    assert "There is no tool" in answer.calls[0].error
    assert answer.message is not None
    sent = json.dumps(render(answer.message))
    for call in answer.message["tool_calls"]:
        stored = call["function"]["name"]
        assert stored.isascii()
        assert stored.replace("_", "").replace("-", "").isalnum()
        assert len(stored) <= 64
        assert call["id"] == answer.calls[0].id
    assert "<|user|>" not in sent


def test_names_and_ids_of_an_old_history_are_made_safe() -> None:
    function = {"name": "read<|observation|>", "arguments": "{}"}
    calls = [{"id": "<|user|>", "type": "function", "function": function}]
    sent = [render({"role": "assistant", "content": "", "tool_calls": calls}),
            render({"role": "tool", "tool_call_id": "<|user|>", "content": "x"})]  # fmt: skip
    assert sent[0]["tool_calls"][0]["function"]["name"] == "read_observation"
    assert sent[0]["tool_calls"][0]["id"] == sent[1]["tool_call_id"] == "_user_"


@pytest.mark.parametrize(
    ("content", "reasoning", "outcome", "left"),
    [
        ("</think>", "abc", Outcome.REASONING_ONLY, ""),
        ("\n</think>\n\n", "abc", Outcome.REASONING_ONLY, ""),
        ("</think></think>Done.", "abc", Outcome.FINAL_TEXT, "Done."),
        ("<think>\n</think>Done.", "abc", Outcome.FINAL_TEXT, "Done."),
        ("</thinking>Done.", "abc", Outcome.FINAL_TEXT, "Done."),
        ("[/THINK]Done.", "abc", Outcome.FINAL_TEXT, "Done."),
        ("</seed:think>Done.", "abc", Outcome.FINAL_TEXT, "Done."),
        ("abc[/THINK]Done.", "", Outcome.FINAL_TEXT, "Done."),
        ("<think>abc", "", Outcome.REASONING_ONLY, ""),
        ("It writes </think> there.", "abc", Outcome.FINAL_TEXT, "It writes </think> there."),
    ],
)
def test_leftovers_of_thinking(content: str, reasoning: str, outcome: Outcome, left: str) -> None:
    delta = {"content": content} | ({"reasoning_content": reasoning} if reasoning else {})
    answer = ask(event(chunk(**delta)) + event(chunk("stop")))
    assert (answer.outcome, answer.content, answer.reasoning) == (outcome, left, "abc")


@pytest.mark.parametrize(
    "parts",
    [
        [{"type": "text", "text": "Do"}, {"type": "text", "text": "ne."}],
        [{"type": "thinking", "thinking": [{"type": "text", "text": "abc"}]},
         {"type": "text", "text": "Done."}],
        [{"type": "reasoning", "text": "abc"}, {"type": "output_text", "text": "Done."}],
        ["Do", "ne."],
        [{"type": "text", "text": "Done."}, None, {"type": "image_url"}, 3],
    ],
)  # fmt: skip
@pytest.mark.parametrize("whole", [False, True])
def test_content_in_parts(parts: list[Any], whole: bool) -> None:
    body = {"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]}
    answer = ask(json.dumps(body) if whole else event(chunk("stop", content=parts)))
    assert (answer.outcome, answer.content) == (Outcome.FINAL_TEXT, "Done.")
    assert answer.reasoning == ("abc" if "abc" in str(parts) else "")


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        ("read", {"path": "a.py", "start_line": "", "end_line": "null"}, {"path": "a.py"}),
        ("read", {"path": "a.py", "start_line": "None", "end_line": " none "}, {"path": "a.py"}),
        ("read", {"path": "a.py", "from_line": "None"}, {"path": "a.py"}),
        ("search", {"pattern": "None", "regex": "undefined"}, {"pattern": "None"}),
        ("bash", {"command": "ls", "timeout": "nil"}, {"command": "ls"}),
        ("read", {"path": "null", "end_line": None}, {"path": "null"}),
    ],
)
def test_a_word_for_a_missing_number(name: str, given: Any, meant: Any) -> None:
    answer = ask(event(chunk(tool_calls=[entry(json.dumps(given), name, "x", 0)])) + event(END))
    assert called(answer)[0] == (name, meant)
