"""What llama.cpp reads ahead of the first request, keeps, and gives back after a restart."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import require

from reapair.agent.model.client import Client
from reapair.agent.model.prompt_cache import Ahead
from reapair.agent.model.servers import detect
from reapair.agent.model.types import Message, RequestOptions, Server, Usage
from reapair.agent.serve.keep import EmbeddedServer
from support.scripted_server import ScriptedServer
from support.sse import TOOLS

MODEL = Path(__file__).parents[1] / "data/random.gguf"
OPENING: Message = {"role": "system", "content": "You are a coding agent. " * 40}
FIRST: list[Message] = [OPENING, {"role": "user", "content": "Fix the bug in calc.py"}]


def embedded(directory: Path, slots: int = 1) -> EmbeddedServer:
    require("the random model", MODEL.is_file(), f"{MODEL.name} is not there")
    return EmbeddedServer(MODEL, context_tokens=8192, directory=directory, slots=slots)


def client_of(server: EmbeddedServer) -> Client:
    found = detect(server.base_url, api_key=server.api_key)
    return Client(found, api_key=server.api_key, max_tokens=4)


def wait_for_reading() -> None:
    for thread in threading.enumerate():
        if thread.name == "read-ahead":
            thread.join(30)


def ask(client: Client, messages: list[Message]) -> Usage:
    return client.ask(messages, TOOLS, RequestOptions()).usage


@pytest.mark.llama
def test_the_first_request_finds_tools_and_system_prompt_read(tmp_path: Path) -> None:
    with embedded(tmp_path, slots=3) as server:
        client = client_of(server)
        fixed = client.count([OPENING], TOOLS)
        client.read_ahead([OPENING], TOOLS)
        wait_for_reading()
        cached = ask(client, FIRST).cached_tokens
    # The count has two tokens that come after the issue: where the model's answer begins.
    assert cached == fixed - 2 + 1


@pytest.mark.llama
def test_runs_beside_each_other_take_a_slot_each(tmp_path: Path) -> None:
    with embedded(tmp_path, slots=2) as server:
        clients = [client_of(server) for _ in range(2)]
        for client in clients:
            client.read_ahead([OPENING], TOOLS)
            wait_for_reading()
        histories: list[list[Message]] = [
            [*FIRST, {"role": "user", "content": f"run {number} " * 200}] for number in range(2)
        ]
        for client, history in zip(clients, histories, strict=True):
            ask(client, history)
        again = [ask(c, history) for c, history in zip(clients, histories, strict=True)]
    for usage in again:
        assert usage.prompt_tokens
        assert usage.cached_tokens == usage.prompt_tokens - 1


@pytest.mark.llama
def test_a_resumed_run_pays_no_prefill_after_a_restart(tmp_path: Path) -> None:
    history: list[Message] = [*FIRST, {"role": "user", "content": "more " * 300}]
    with embedded(tmp_path) as server:
        client = client_of(server)
        client.read_ahead([OPENING], TOOLS)
        read = ask(client, history).prompt_tokens
        client.save("agent-1")
    assert list((tmp_path / "slots").iterdir())
    with embedded(tmp_path) as server:
        client = client_of(server)
        found = detect(server.base_url, api_key=server.api_key)
        Ahead(found, server.api_key).restore(0, "agent-1")
        cached = ask(client, history).cached_tokens
    assert read
    assert cached == read - 1


@pytest.mark.parametrize("dialect", ["llama.cpp", "vllm"])
def test_it_is_no_step_and_takes_no_answer(dialect: str) -> None:
    turn = {"content": "", "tool_calls": [{"name": "read", "arguments": {"path": "a"}}]}
    with ScriptedServer([turn], dialect=dialect, api_key="secret") as server:
        client = Client(detect(server.base_url, api_key="secret"), api_key="secret")
        client.read_ahead([OPENING], TOOLS, saved="agent-1")
        client.save("agent-1")
        wait_for_reading()
        assert not server.chats
        assert len(server.turns) == 1
        posts = [request for request in server.requests if request.method == "POST"]
    assert posts
    assert {request.headers["authorization"] for request in posts} == {"Bearer secret"}


@pytest.mark.parametrize(
    "call",
    [
        lambda ahead: ahead.idle_slot(),
        lambda ahead: ahead.read([OPENING], TOOLS, 0),
        lambda ahead: ahead.save(0, "x"),
        lambda ahead: ahead.restore(0, "x"),
    ],
)
@pytest.mark.parametrize("kind", ["llama.cpp", "vllm", "other"])
def test_a_server_that_is_gone_is_nobodys_business(
    kind: str, call: Callable[[Ahead], None]
) -> None:
    gone = Server(kind, "http://127.0.0.1:9/v1", "glm", 4096)  # type: ignore[arg-type]
    call(Ahead(gone, None))
