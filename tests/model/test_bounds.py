"""Servers without bounds: whatever they send ends soon, in little memory, by a name."""

from __future__ import annotations

import gzip
import itertools
import resource
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from reapair.agent.model.client import Client
from reapair.agent.model.limits import ANSWER_BYTES, BODY_BYTES, TooMuch, parse_json
from reapair.agent.model.server_probe import NothingThere
from reapair.agent.model.servers import detect, is_ready
from reapair.agent.model.types import Answer, Message, Outcome, RequestOptions, Server
from support.raw_server import RawServer, head, serving
from support.sse import TOOLS

pytestmark = pytest.mark.slow

MESSAGES: list[Message] = [{"role": "user", "content": "Fix it."}]
MEGABYTE = b"x" * (1 << 20)


def ask(server: RawServer, **more: Any) -> Answer:
    client = Client(Server("other", server.base_url, "m", None), api_key=None, **more)
    return client.ask(MESSAGES, TOOLS, RequestOptions())


def growth(before: int) -> int:
    """Return the megabytes by which the peak of this process has grown."""
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024


def delta(text: str) -> bytes:
    return b'data: {"choices":[{"delta":{%s}}]}\n\n' % text.encode()


def call(arguments: str) -> bytes:
    return delta(f'"tool_calls":[{{"index":0,"function":{{"arguments":"{arguments}"}}}}]')


def calls_from(number: int) -> str:
    heads = (f'{{"index":{n},"function":{{"name":"read"}}}}' for n in range(number, number + 1_000))
    return ",".join(heads)


ENDLESS: dict[str, Iterable[bytes]] = {
    "a line": [b"data: ", *[MEGABYTE] * 64],
    "an event of many lines": [b"data: x\n" * 100_000] * 640,
    "comments": [b": still here\n" * 100_000] * 64,
    "blank lines": [b"\n" * (1 << 20)] * 64,
    "blanks in front of a body": [b" " * (1 << 20)] * 64,
    "a body": [b'{"choices": "', *[MEGABYTE] * 64],
    "arguments": [call("a" * 1000) * 1000] * 64,
    "arguments in short pieces": [call("a") * 10_000] * 50,
    "calls": [delta(f'"tool_calls":[{calls_from(n)}]') for n in range(0, 1_000_000, 1_000)],
    "lists in an event": [b"data: ", *[b"[]," * (1 << 18)] * 64],
    "token ids": [b'data: {"choices":[{"token_ids":[%s1]}]}\n\n' % (b"70000," * 10_000)] * 600,
}


@pytest.mark.parametrize("name", ENDLESS)
def test_an_answer_without_end(name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with RawServer(lambda _: itertools.chain([head()], ENDLESS[name])) as server:
        assert ask(server).outcome is Outcome.BROKEN_STREAM
    assert growth(before) < 250
    assert time.process_time() - began < 60


@pytest.mark.parametrize(
    ("encoding", "content_type"),
    [("gzip", "text/event-stream"), ("gzip", "application/json"), ("deflate", "application/json"),
     ("gzip, gzip", "application/json"), ("zstd", "text/event-stream")],
)  # fmt: skip
def test_a_body_that_unpacks_to_gigabytes(encoding: str, content_type: str) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31 if encoding.startswith("gzip") else 15)
    packed = packer.compress(b"data: ")
    packed += b"".join(packer.compress(MEGABYTE) for _ in range(100)) + packer.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with serving(packed, content_type, f"Content-Encoding: {encoding}") as server:
        assert ask(server).outcome is Outcome.BROKEN_STREAM
        with pytest.raises(NothingThere, match=r"longer than|not asked for"):
            detect(server.base_url)
    assert growth(before) < 150


def test_a_packed_answer_is_read() -> None:
    body = b'{"choices":[{"message":{"content":"Done."},"finish_reason":"stop"}]}'
    with serving(gzip.compress(body), "application/json", "Content-Encoding: gzip") as server:
        assert ask(server).content == "Done."


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"choices":[', '[{"a":'])
@pytest.mark.parametrize("levels", [101, 5_000, 200_000])
def test_nesting(opening: str, levels: int) -> None:
    text = opening * levels
    for body in (text.encode(), b"data: " + text.encode() + b"\n\n", close(text)):
        with serving(body) as server:
            assert ask(server).outcome is Outcome.BROKEN_STREAM


def close(text: str) -> bytes:
    """Return the JSON with every bracket closed, as an event."""
    ends = "".join({"{": "}", "[": "]"}.get(mark, "") for mark in reversed(text))
    return f"data: {text}1{ends}\n\n".encode()


def test_an_error_that_is_nested_is_named() -> None:
    body = b'{"error": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    reply = [head("application/json", status="500 Internal Server Error"), body]
    with RawServer(lambda _: reply) as server:
        assert ask(server).outcome is Outcome.UNAVAILABLE


def test_ordinary_json_is_read() -> None:
    assert parse_json("[" * 99 + "]" * 99) is not None
    assert parse_json(b'{"code": "%s"}' % (b"{[" * 5_000)) == {"code": "{[" * 5_000}
    with pytest.raises(TooMuch, match="deep"):
        parse_json("[" * 102 + "]" * 102)
    with pytest.raises(TooMuch, match="lists"):
        parse_json("[" + "[]," * 600_000 + "1]")
    assert BODY_BYTES < ANSWER_BYTES


def drip(pause: float) -> Iterator[bytes]:
    while True:
        yield b"x"
        time.sleep(pause)


DRIPPING = {
    "status": lambda: itertools.chain([b"HTTP/1.1 "], drip(0.1)),
    "header": lambda: itertools.chain([b"HTTP/1.1 200 OK\r\nX-A: "], drip(0.1)),
    "body": lambda: itertools.chain([head()], drip(0.1)),
    "chunks": lambda: itertools.chain(
        [head("text/event-stream", "Transfer-Encoding: chunked")],
        (b"1\r\n%s\r\n" % byte for byte in drip(0.1)),
    ),
    "comments": lambda: itertools.chain([head()], (b": %s\n\n" % byte for byte in drip(0.1))),
}


@pytest.mark.parametrize("what", DRIPPING)
def test_a_probe_of_a_server_that_drips(what: str) -> None:
    with RawServer(lambda _: DRIPPING[what]()) as server:
        began = time.monotonic()
        with pytest.raises(NothingThere, match="no answer in time"):
            detect(server.base_url, timeout=1.0)
        assert not is_ready(Server("llama.cpp", server.base_url, "m", None), timeout=0.5)
        assert time.monotonic() - began < 5


def test_all_probes_together_have_one_limit() -> None:
    def reply(request: bytes) -> Iterator[bytes]:
        time.sleep(0.4)
        known = b'{"data": [{"id": "m"}]}' if b"/v1/models" in request else b"{}"
        yield head("application/json") + known

    with RawServer(reply) as server:
        began = time.monotonic()
        with pytest.raises(NothingThere, match="no answer in time"):
            detect(server.base_url, timeout=1.0)
        assert time.monotonic() - began < 3


@pytest.mark.parametrize("what", DRIPPING)
def test_an_answer_that_drips(what: str) -> None:
    with RawServer(lambda _: DRIPPING[what]()) as server:
        began = time.monotonic()
        assert ask(server, idle_seconds=0.25).outcome is Outcome.BROKEN_STREAM
        assert time.monotonic() - began < 8


@pytest.mark.parametrize("what", DRIPPING)
def test_it_can_be_cancelled_meanwhile(what: str) -> None:
    with RawServer(lambda _: DRIPPING[what]()) as server:
        client = Client(Server("other", server.base_url, "m", None), api_key=None)
        threading.Timer(0.5, client.cancel).start()
        began = time.monotonic()
        assert client.ask(MESSAGES, TOOLS, RequestOptions()).outcome is Outcome.CANCELLED
        assert time.monotonic() - began < 2.5
