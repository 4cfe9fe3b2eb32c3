"""The time limit of a run, wherever the run stands when it is reached."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reapair.agent.loop.nodes import OUT_OF_TIME
from reapair.agent.model.client import Client
from reapair.agent.model.types import Server
from reapair.agent.result import ExitReason, Result
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import solve
from support.raw_server import RawServer, head
from support.tasks import own_tasks

pytestmark = pytest.mark.slow

SECONDS = 10.0  # most of it is for the way to the first request on a busy machine


def called(*calls: tuple[str, dict[str, Any]]) -> bytes:
    entries = [
        {"id": f"c{n}", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for n, (name, arguments) in enumerate(calls)
    ]
    body = {"choices": [{"message": {"tool_calls": entries}, "finish_reason": "tool_calls"}]}
    return head("application/json") + json.dumps(body).encode()


def slow_calls(_: bytes) -> Iterator[bytes]:
    yield called(*[("bash", {"command": f"sleep 1; : {number}"}) for number in range(32)])


def unavailable(_: bytes) -> Iterator[bytes]:
    yield head("text/html", status="502 Bad Gateway") + b"<html>"


def unavailable_and_dripping(request: bytes) -> Iterator[bytes]:
    if b"chat/completions" in request:
        yield from unavailable(request)
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        yield b"X"
        time.sleep(0.2)


def silent(_: bytes) -> Iterator[bytes]:
    time.sleep(60)
    yield b""


def endless(_: bytes) -> Iterator[bytes]:
    yield head()
    while True:
        yield b": still here\n\n"
        time.sleep(0.05)


def thinking(_: bytes) -> Iterator[bytes]:
    yield head()
    for number in range(10_000):
        delta = {"reasoning_content": f"Thought {number}. "}
        yield b"data: " + json.dumps({"choices": [{"delta": delta}]}).encode() + b"\n\n"
        time.sleep(0.05)


def run(reply: Callable[[bytes], Iterator[bytes]], folder: Path) -> tuple[Result, list[Any], float]:
    """Return the result, the log and how long the run took after its time was up."""
    task = own_tasks(folder / "tasks")[0]
    log: list[Any] = []
    times: list[float] = []

    def note(event: Any) -> None:
        log.append(event)
        times.append(time.monotonic())

    with RawServer(reply) as server:
        # A server that counts prompts: to count them must not take longer either.
        client = Client(Server("llama.cpp", server.base_url, "m", 32_768), api_key=None)
        settings = Settings(
            runs=folder / "runs", sandbox="none", patch=folder / "patch.diff",
            max_minutes=SECONDS / 60,
        )  # fmt: skip
        result = solve(task.issue, task.repository, settings, model=client, on_event=note)
    return result, log, times[-1] - times[0] - SECONDS


@pytest.mark.parametrize(
    "reply", [slow_calls, unavailable, unavailable_and_dripping, silent, endless, thinking]
)
def test_a_run_ends_soon_after_its_time(
    reply: Callable[[bytes], Iterator[bytes]], tmp_path: Path
) -> None:
    result, log, late = run(reply, tmp_path)
    assert result.exit_reason is ExitReason.TIME_LIMIT
    assert late < 2 + 1, f"{late:.1f} s late"  # two seconds, and the running command's own end
    answered = [event for event in log if event.kind == "tool_result"]
    if reply is slow_calls:
        assert len(answered) % 32 == 0
        assert answered[-1].data["content"].startswith(OUT_OF_TIME)
