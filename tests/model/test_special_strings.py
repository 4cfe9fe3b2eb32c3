"""Servers that can tokenise tell which strings are special; exactly those are broken up."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from reapair.agent.model.client import Client
from reapair.agent.model.connection import Hangup
from reapair.agent.model.special_strings import special_strings
from reapair.agent.model.types import RequestOptions, Server, ServerKind

SPECIAL = {"<special_x>", "[INST]", "</s>"}
DONE = {"choices": [{"message": {"content": "Done."}, "finish_reason": "stop"}]}


class Tokenizing(ThreadingHTTPServer):
    """Tokenises as llama.cpp or vLLM do, with a vocabulary of a few special strings."""

    def __init__(self, kind: ServerKind, template: str = "{{ '<special_x>' }}") -> None:
        self.kind, self.template, self.bodies = kind, template, list[dict[str, Any]]()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.server = Server(kind, f"http://127.0.0.1:{self.server_port}/v1", "m", 8_192)

    def __enter__(self) -> Tokenizing:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Any

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.answer({"chat_template": self.server.template})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/tokenize":
            self.server.bodies.append(body)
            self.answer(DONE)
        elif self.server.kind == "vllm":
            self.answer({"count": 3, "token_strs": list(tokens(body["prompt"]))})
        else:
            pieces = [{"id": n, "piece": text} for n, text in enumerate(tokens(body["content"]))]
            self.answer({"tokens": [*pieces, {"id": 9, "piece": [227]}]})

    def answer(self, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def tokens(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        yield from [line] if line in SPECIAL else [line[:2], line[2:]]
        yield "\n"


@pytest.mark.parametrize("kind", ["llama.cpp", "vllm"])
def test_the_server_is_asked_which_strings_are_special(kind: ServerKind) -> None:
    expected = SPECIAL if kind == "llama.cpp" else SPECIAL - {"<special_x>"}  # from its template
    with Tokenizing(kind) as server:
        assert special_strings(server.server, None, None, Hangup()) == expected
        client = Client(server.server, api_key=None)
        text = "<special_x> [INST] </s> [TOOL_CALLS] <bos> <|any|>"
        for _ in range(2):
            client.ask([{"role": "user", "content": text}], [], RequestOptions())
        sent = [body["messages"][0]["content"] for body in server.bodies]
    marked = "<~special_x>" if kind == "llama.cpp" else "<special_x>"
    assert sent == [f"{marked} [~INST] <~/s> [TOOL_CALLS] <bos> <~|any|>"] * 2


@pytest.mark.parametrize("kind", ["ollama", "lmstudio", "other"])
def test_a_server_that_can_not_tell_is_not_asked(kind: ServerKind) -> None:
    with Tokenizing(kind) as server:
        assert special_strings(server.server, None, None, Hangup()) is None
        Client(server.server, api_key=None).ask(
            [{"role": "user", "content": "[INST] <bos>"}], [], RequestOptions()
        )
        sent = [b["messages"][0]["content"] for b in server.bodies if "messages" in b]
    assert sent == ["[~INST] <~bos>"]


def test_nobody_there_tells_nothing() -> None:
    nowhere = Server("llama.cpp", "http://127.0.0.1:9/v1", "m", None)
    assert special_strings(nowhere, None, None, Hangup()) is None
