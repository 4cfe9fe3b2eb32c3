"""Servers that drop the start of a prompt that is too long, and answer still: it is noticed."""

from __future__ import annotations

from typing import Any

import pytest

from reapair.agent.model.client import Client
from reapair.agent.model.servers import detect
from reapair.agent.model.types import Message, Outcome, RequestOptions
from support.scripted_server import ScriptedServer
from support.sse import TOOLS

CALL = {"tool_calls": [{"name": "read", "arguments": {"path": "a.py"}}]}
SYSTEM: Message = {"role": "system", "content": "Work."}
LONG = {
    "one letter": "x" * 20_000,
    "words": "word " * 6_000,
    "source": "def total(values):\n    return sum(values) / len(values)\n\n" * 400,
    "a table": "| 1 | 2 | 3 |\n" * 2_000,
}


def user(text: str) -> list[Message]:
    return [SYSTEM, {"role": "user", "content": text}]


def grown(text: str) -> list[Message]:
    """Return a conversation as `continue` or `resume` sends it first: long at once."""
    messages = user("Fix it.")
    for number in range(10):
        function = {"name": "read", "arguments": '{"path": "a.py"}'}
        calls = [{"id": f"c{number}", "type": "function", "function": function}]
        messages += [
            {"role": "assistant", "content": "", "tool_calls": calls},
            {"role": "tool", "tool_call_id": f"c{number}", "content": text[: len(text) // 10]},
        ]
    return messages


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("history", [user, grown])
def test_the_first_prompt_of_ollama_is_cut(name: str, history: Any) -> None:
    with ScriptedServer([CALL] * 3, dialect="ollama", context=4_096) as scripted:
        client = Client(detect(scripted.base_url), api_key=None)
        assert client.server.context_tokens is None  # told once the model is loaded
        answer = client.ask(history(LONG[name]), TOOLS, RequestOptions())
        assert answer.outcome is Outcome.OVERFLOW
        assert "4096 tokens" in answer.detail
        assert "OLLAMA_CONTEXT_LENGTH" in answer.detail
        # What was told of a prompt that was cut was not learned from.
        assert client.count(history(LONG[name]), TOOLS) > 4_096
        assert client.ask(history(LONG[name]), TOOLS, RequestOptions()).outcome is Outcome.OVERFLOW
        assert len(scripted.chats) == 1
        assert client.ask(user("Fix it."), TOOLS, RequestOptions()).outcome is Outcome.TOOL_CALLS


@pytest.mark.parametrize("name", ["words", "source", "a table"])
def test_a_server_that_never_tells_its_context(name: str) -> None:
    with ScriptedServer([CALL], dialect="ollama", context=2_048) as scripted:
        scripted.dialect.get = {  # type: ignore[method-assign]
            "/v1/models": {"data": [{"id": "m"}]}
        }.get  # type: ignore[assignment]
        client = Client(detect(scripted.base_url), api_key=None)
        assert (client.server.kind, client.server.context_tokens) == ("other", None)
        answer = client.ask(user(LONG[name]), TOOLS, RequestOptions())
    assert answer.outcome is Outcome.OVERFLOW
    assert "larger context" in answer.detail


def test_a_prompt_that_fits_is_not_taken_for_a_cut_one() -> None:
    texts = ["Fix it.", *(text[:4_000] for text in LONG.values())]
    with ScriptedServer([CALL] * len(texts), dialect="ollama", context=32_768) as scripted:
        for text in texts:
            client = Client(detect(scripted.base_url), api_key=None)
            answer = client.ask(user(text), TOOLS, RequestOptions())
            assert answer.outcome is Outcome.TOOL_CALLS, text[:20]


def test_lm_studio_tells_its_context_at_once() -> None:
    with ScriptedServer([CALL], dialect="lmstudio", context=4_096) as scripted:
        client = Client(detect(scripted.base_url), api_key=None)
        answer = client.ask(user(LONG["words"]), TOOLS, RequestOptions())
        assert answer.outcome is Outcome.OVERFLOW
        assert "lms load" in answer.detail
        assert scripted.chats == []


def test_a_context_that_is_set_for_the_model_is_known_before_it_is_loaded() -> None:
    with ScriptedServer([CALL], dialect="ollama", context=4_096) as scripted:
        shown = {"parameters": "stop  x\nnum_ctx                        4096\n"}
        scripted.dialect.post = lambda *_: shown  # type: ignore[method-assign]
        client = Client(detect(scripted.base_url), api_key=None)
        assert client.ask(user(LONG["words"]), TOOLS, RequestOptions()).outcome is Outcome.OVERFLOW
        assert client.server.context_tokens == 4_096
        assert scripted.chats == []
