"""A model server that answers from a script: real HTTP, real SSE, two dialects, faults on demand.

One turn of the script is one JSON object:
`{reasoning, content, tool_calls: [{name, arguments | raw_arguments}], finish_reason, fault}`.
In Python a turn may also be a function of the request body that returns such an object.

For other programs, in the folder of the tests:
python -m support.scripted_server SCRIPT.jsonl --dialect vllm --port 8000
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from support.local_dialects import LmStudio, Ollama
from support.scripted_dialects import Counts, Json, LlamaCpp, Vllm, count_tokens
from support.scripted_exchange import answer, written

Turn = Json | Callable[[Json], Json]


DIALECTS: dict[str, type[LlamaCpp]] = {
    dialect.name: dialect for dialect in (LlamaCpp, Vllm, Ollama, LmStudio)
}


@dataclass
class Request:
    """One recorded request."""

    method: str
    path: str
    headers: dict[str, str]
    body: Json


class ScriptedServer:
    """Serves a script on a free loopback port until it is closed; a context manager.

    Args:
        turns: answers to chat requests, in order, after the last one 400; or a function that
            answers all of them.
        dialect: a key of `DIALECTS`.
        context: tokens that fit; a longer prompt gets the dialect's own overflow error.
        api_key: wanted from every request to `/v1` when set.
        loading: GETs and POSTs that are answered with 503 first, as while a model is loaded.
        slots: conversations that the server says it holds at once.
        seconds: how long it thinks about each answer; several requests think at the same time.
        reasoning_in_content: leave the reasoning in the content, as without a reasoning parser.
    """

    def __init__(
        self,
        turns: Iterable[Turn] | Callable[[Json], Json],
        *,
        dialect: str = "llama.cpp",
        model: str = "glm-4.7-flash",
        context: int = 32_768,
        api_key: str | None = None,
        loading: int = 0,
        slots: int = 1,
        seconds: float = 0.0,
        reasoning_in_content: bool = False,
        port: int = 0,
    ) -> None:
        self.always = turns if callable(turns) else None
        self.turns: list[Turn] = [] if callable(turns) else list(turns)
        self.dialect = DIALECTS[dialect](model, context)
        self.dialect.slots = slots
        self.seconds = seconds
        self.api_key = api_key
        self.loading = loading
        self.reasoning_in_content = reasoning_in_content
        self.requests: list[Request] = []
        self.disconnects = 0
        self.last_prompts: dict[int, str] = {}
        self.lock = threading.Lock()
        self._http = _Quiet(("127.0.0.1", port), _Handler)
        self._http.script = self  # type: ignore[attr-defined]
        self.base_url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()

    @property
    def chats(self) -> list[Json]:
        """Bodies of the chat requests so far."""
        path = "/v1/chat/completions"
        return [request.body for request in self.requests if request.path == path]

    def rewritten(self) -> list[int]:
        """Return the chat requests that do not start with the messages of the one before."""
        chats = self.chats
        pairs = itertools.pairwise(chats)
        return [
            number
            for number, (before, after) in enumerate(pairs, start=1)
            if after["messages"][: len(before["messages"])] != before["messages"]
            or after.get("tools") != before.get("tools")
        ]


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up; everything else is a mistake in the script."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        script = self.server.script
        if self._turned_away({}):
            return
        answer = script.dialect.get(self.path)
        self.json(200, answer) if answer is not None else self._not_found()

    def do_POST(self) -> None:
        script = self.server.script
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._turned_away(body):
            return
        prompt = json.dumps([body.get("tools"), body.get("messages")])
        if self.path == "/v1/chat/completions":
            self._chat(body, prompt)
            return
        answer = script.dialect.post(self.path, body, count_tokens(prompt))
        self.json(200, answer) if answer is not None else self._not_found()

    def _turned_away(self, body: Json) -> bool:
        """Record the request; answer it here while loading or without the right key."""
        script = self.server.script
        headers = {name.lower(): value for name, value in self.headers.items()}
        script.requests.append(Request(self.command, self.path, headers, body))
        if script.loading > 0:
            script.loading -= 1
            error = script.dialect.error(503, "unavailable_error", "Loading model")
            self.json(503, error, close=True)
            return True
        guarded = script.api_key and self.path != "/health"
        if guarded and headers.get("authorization") != f"Bearer {script.api_key}":
            self.json(401, script.dialect.error(401, "", "Invalid API Key"), close=True)
            return True
        return False

    def _not_found(self) -> None:
        self.json(404, self.server.script.dialect.error(404, "", "File Not Found"), close=True)

    def _chat(self, body: Json, prompt: str) -> None:
        script = self.server.script
        if not body.get("messages"):
            self.json(400, script.dialect.error(400, "", "'messages' is required"), close=True)
            return
        if refused := script.dialect.refusal(body):
            self.json(*refused, close=True)
            return
        size = count_tokens(prompt)
        if size >= script.dialect.context and script.dialect.cuts:
            size = script.dialect.context // 2 + 2
        elif size >= script.dialect.context:
            self.json(400, script.dialect.overflow(size), close=True)
            return
        with script.lock:
            turn = script.always or (script.turns.pop(0) if script.turns else None)
            slot = body.get("id_slot", 0)
            before, script.last_prompts[slot] = script.last_prompts.get(slot, ""), prompt
        if turn is None:
            self.json(400, script.dialect.error(400, "", "the script is at its end"), close=True)
            return
        turn = turn(body) if callable(turn) else turn
        time.sleep(script.seconds)
        cached = count_tokens(_common(prompt, before))
        counts = Counts(size, min(cached, size - 1), count_tokens(written(turn)))
        try:
            answer(self, script, body, turn, counts)
        except OSError:  # the client hung up
            script.disconnects += 1
            self.close_connection = True

    def json(self, status: int, body: Any, *, close: bool = False) -> None:
        """Send a whole body."""
        data = json.dumps(body).encode() if body != {} else b""
        self.send_response_only(status)
        for name, value in self.server.script.dialect.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection" if close else "Keep-Alive", "close" if close else "timeout=5")
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = close


def _common(one: str, other: str) -> str:
    """Return the common start of two texts."""
    length = min(len(one), len(other))
    while one[:length] != other[:length]:
        length -= 1 + length // 50
    return one[: max(length, 0)]


def main() -> None:
    """Serve a script until interrupted."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("script", type=Path, help="one JSON object a line")
    parser.add_argument("--dialect", choices=sorted(DIALECTS), default="llama.cpp")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--context", type=int, default=32_768, metavar="TOKENS")
    chosen = parser.parse_args()
    lines = chosen.script.read_text("utf-8").splitlines()
    turns = [json.loads(line) for line in lines if line.strip()]
    with ScriptedServer(
        turns, dialect=chosen.dialect, port=chosen.port, context=chosen.context
    ) as server:
        print(server.base_url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
