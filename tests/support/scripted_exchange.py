"""One scripted answer on the wire, whole or streamed, with the fault its turn asks for."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

from support.scripted_dialects import PEG_ERROR, Counts, Json, pieces

FAULTS = {
    "peg_native": "llama.cpp can't parse what the model wrote",
    "overloaded": "503 from a busy server",
    "rate_limit": "429",
    "gateway": "502 with a page of HTML",
    "internal": "500 without a reason",
    "bad_request": "400 for a mistake of the client's",
    "unknown_field": "400 that names a field the server does not know",
    "overflow": "the prompt does not fit",
    "history": "500 for arguments in the history that are no JSON",
    "no_answer": "the connection closes before a header",
    "cut": "the connection closes in the middle of a stream",
    "error_in_stream": "an error object in the middle of a stream, then nothing",
    "error_then_done": "vLLM's way: an error object, then [DONE]",
    "no_done": "a whole stream that lacks [DONE]",
    "garbage": "a chunk that is no JSON",
    "bad_utf8": "a chunk that is no UTF-8",
    "noise": "comments, empty choices, unknown fields, null deltas",
    "endless": "the same sentence until the client hangs up",
    "stall": "silence after the first words, until the client hangs up",
    "no_usage": "neither usage nor timings",
    "not_streamed": "one whole body although a stream was wanted",
    "unauthorized": "401",
    "not_found": "404",
    "filtered": "a content filter's refusal",
    "says": "the status and body that the turn gives",
}

_CREATED = 1_795_294_948


def written(turn: Json) -> str:
    """Return everything the model of this turn writes."""
    calls = "".join(call["name"] + _arguments(call) for call in turn.get("tool_calls") or ())
    return (turn.get("reasoning") or "") + (turn.get("content") or "") + calls


def answer(handler: Any, script: Any, body: Json, turn: Json, counts: Counts) -> None:
    """Answer a chat request with this turn. Raises OSError when the client hangs up."""
    fault = turn.get("fault")
    if fault is not None and fault not in FAULTS:
        raise ValueError(f"unknown fault {fault!r}; known: {', '.join(FAULTS)}")
    if _refuse(handler, script.dialect, turn, body, counts):
        return
    number = len(script.chats)
    if body.get("stream") and fault != "not_streamed":
        _stream(handler, _Exchange(script, body, turn, counts, number), fault)
        return
    handler.json(200, _Exchange(script, body, turn, counts, number).whole())


def _refuse(handler: Any, dialect: Any, turn: Json, body: Json, counts: Counts) -> bool:
    """Send the error that takes the place of an answer, if the fault is one."""
    fault = turn.get("fault")
    if fault == "says":
        handler.json(turn["status"], turn["body"], close=True)
        return True
    if fault == "no_answer":
        handler.close_connection = True
        return True
    if fault == "gateway":
        page = b"<html><body>502 Bad Gateway</body></html>"
        handler.send_response_only(502)
        handler.send_header("Content-Type", "text/html")
        handler.send_header("Content-Length", str(len(page)))
        handler.end_headers()
        handler.wfile.write(page)
        return True
    if fault == "peg_native" and not body.get("stream"):
        handler.json(500, PEG_ERROR, close=True)
        return True
    errors = {
        "overloaded": (503, "unavailable_error", "Loading model"),
        "rate_limit": (429, "rate_limit_error", "Too many requests"),
        "unauthorized": (401, "", "Invalid API Key"),
        "not_found": (404, "", "The model does not exist."),
        "internal": (500, "server_error", "something broke"),
        "bad_request": (400, "invalid_request_error", "Field 'temperature': not a number"),
        "history": (500, "server_error", "Failed to parse tool call arguments as JSON: [x]"),
    }
    if fault == "unknown_field":
        field = "thinking_token_budget" if "thinking_token_budget" in body else "min_p"
        errors[fault] = (400, "invalid_request_error", f"Unsupported parameter: {field}")
    if fault == "overflow":
        handler.json(400, dialect.overflow(counts.prompt), close=True)
        return True
    if fault in errors:
        status, kind, message = errors[fault]
        handler.json(status, dialect.error(status, kind, message), close=True)
        return True
    return False


class _Exchange:
    """The chunks of one answer."""

    def __init__(self, script: Any, body: Json, turn: Json, counts: Counts, number: int) -> None:
        self.dialect, self.body, self.turn, self.counts = script.dialect, body, turn, counts
        self.number = number
        self.reasoning, self.content = turn.get("reasoning") or "", turn.get("content") or ""
        if script.reasoning_in_content and self.reasoning:
            self.content, self.reasoning = f"{self.reasoning}</think>{self.content}", ""
        self.calls = turn.get("tool_calls") or []
        default = "tool_calls" if self.calls else "stop"
        self.finish = turn.get("finish_reason", default)
        if turn.get("fault") == "filtered":
            self.finish = "content_filter"

    def envelope(self, kind: str) -> Json:
        """Return the fields that every chunk has."""
        return {
            "id": f"chatcmpl-{self.number}",
            "object": kind,
            "created": _CREATED,
            "model": self.dialect.model,
        }

    def whole(self) -> Json:
        """Return the answer as one body."""
        message: Json = {"role": "assistant", "content": self.content}
        if self.reasoning:
            message[self.dialect.reasoning_key] = self.reasoning
        if self.calls:
            message["tool_calls"] = [
                {
                    "type": "function",
                    "id": self.dialect.call_id(self.number, index),
                    "function": {"name": call["name"], "arguments": _arguments(call)},
                }
                for index, call in enumerate(self.calls)
            ]
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        return {"choices": [choice], **self.envelope("chat.completion"), **self._usage()}

    def chunks(self) -> Iterator[Json]:
        """Yield the answer as the chunks of a stream."""
        for opening in self.dialect.opening(self.body, self.counts):
            yield self._chunk(**opening)
        for piece in pieces(self.reasoning):
            yield self._chunk({self.dialect.reasoning_key: piece})
        for piece in pieces(self.content):
            yield self._chunk({"content": piece})
        for index, call in enumerate(self.calls):
            call_id = self.dialect.call_id(self.number, index)
            for entry in self.dialect.call_deltas(index, call_id, call["name"], _arguments(call)):
                yield self._chunk({"tool_calls": [entry]})
        if self.finish is not None:
            yield self._chunk({}, finish=self.finish)
        if self.body.get("stream_options", {}).get("include_usage") and self._usage():
            yield {"choices": [], **self.envelope("chat.completion.chunk"), **self._usage()}

    def _chunk(self, delta: Json, finish: str | None = None, **extra: Any) -> Json:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"choices": [choice], **self.envelope("chat.completion.chunk"), **extra}

    def _usage(self) -> Json:
        return {} if self.turn.get("fault") == "no_usage" else self.dialect.usage(self.counts)


def _stream(handler: Any, exchange: _Exchange, fault: str | None) -> None:
    handler.send_response_only(200)
    for name, value in exchange.dialect.headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.send_header("Keep-Alive", "timeout=5, max=100")
    handler.end_headers()
    events = _faulty(exchange, fault)
    for event in events:
        if not event:
            # An empty chunk would end the body: a peek tells whether the client is still there.
            if not _still_there(handler.connection):
                raise ConnectionResetError
            continue
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        handler.wfile.flush()
    if fault == "cut":
        handler.close_connection = True
        return
    handler.wfile.write(b"0\r\n\r\n")
    # llama.cpp promises to keep the connection and closes it all the same.
    handler.close_connection = exchange.dialect.closes_after_stream


def _still_there(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    finally:
        connection.setblocking(True)


def _faulty(exchange: _Exchange, fault: str | None) -> Iterator[bytes]:
    """Yield the events of a stream, with what the fault does to them."""
    chunks = list(exchange.chunks())
    middle = max(len(chunks) // 2, 1)
    if fault in ("cut", "error_in_stream", "error_then_done", "peg_native", "garbage", "bad_utf8"):
        yield from map(_event, chunks[:middle])
        error = PEG_ERROR if fault == "peg_native" else exchange.dialect.error(500, "", "no more")
        if fault in ("error_in_stream", "error_then_done", "peg_native"):
            yield _event(error)
        if fault == "error_then_done":
            yield b"data: [DONE]\n\n"
        if fault in ("garbage", "bad_utf8"):
            yield b'data: {"choices": [\n\n' if fault == "garbage" else b"data: \xff\xfe\n\n"
        return
    if fault in ("endless", "stall"):
        yield _event(chunks[0])
        while True:
            if fault == "endless":
                delta = {exchange.dialect.reasoning_key: "Let me look at the file once more. "}
                yield _event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            else:
                time.sleep(0.05)
                yield b""
    for chunk in chunks:
        if fault == "noise":
            yield b": keep-alive\n\n"
            yield _event({"choices": [], "unknown": True})
            yield _event({"choices": [{"index": 0, "delta": {"content": None}}]})
        yield _event(chunk)
    if fault != "no_done":
        yield b"data: [DONE]\n\n"


def _event(chunk: Json) -> bytes:
    return b"data: %s\n\n" % json.dumps(chunk, ensure_ascii=False).encode()


def _arguments(call: Json) -> str:
    if "raw_arguments" in call:
        return str(call["raw_arguments"])
    return json.dumps(call.get("arguments", {}), ensure_ascii=False, separators=(",", ":"))
