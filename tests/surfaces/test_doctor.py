"""The doctor's findings, each with the setting that mends it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import require

from reapair.agent.model import servers
from reapair.agent.serve.keep import EmbeddedServer
from reapair.agent.surfaces import doctor
from reapair.agent.surfaces.doctor import Check, checks
from support.fixed_server import FixedServer
from support.scripted_server import ScriptedServer

RANDOM = Path(__file__).parents[1] / "data/random.gguf"


def sandbox() -> Iterator[Check]:
    yield Check("sandbox", "ok", "a command ran")


def findings(base_url: str | None, key: str | None = None) -> dict[str, Check]:
    return {check.name: check for check in checks(base_url, key, None, sandbox)}


def good(body: dict[str, Any]) -> dict[str, Any]:
    """Answer as a good model does."""
    asked = body["messages"][-1]["content"]
    offered = body.get("tools", [{}])
    if offered[0].get("function", {}).get("name") == "ping":
        return {"tool_calls": [{"name": "ping", "arguments": {}}]}
    if "a.xml" in asked:
        new = asked.partition("new_str:\n")[2]
        edit = {"path": "a.xml", "old_str": "", "new_str": new}
        return {"tool_calls": [{"name": "edit", "arguments": edit}]}
    if "both" in asked:
        paths = ("a.py", "b.py")
        return {"tool_calls": [{"name": "read", "arguments": {"path": path}} for path in paths]}
    if "README.md" in asked:
        read = {"name": "read", "arguments": {"path": "README.md"}}
        return {"reasoning": "I read it.", "tool_calls": [read]}
    return {"content": "Hello."}


def as_text(body: dict[str, Any]) -> dict[str, Any]:
    """Answer as a good model does on a server without parsers."""
    turn = good(body)
    calls = []
    for call in turn.pop("tool_calls", ()):
        pairs = call["arguments"].items()
        inner = (f"<arg_key>{k}</arg_key><arg_value>{v}</arg_value>" for k, v in pairs)
        calls.append(f"<tool_call>{call['name']}{''.join(inner)}</tool_call>")
    return {**turn, "content": turn.get("content", "") + "".join(calls)}


@pytest.mark.parametrize("dialect", ["llama.cpp", "vllm"])
def test_all_is_well(dialect: str) -> None:
    with ScriptedServer([good] * 20, dialect=dialect, context=65_536) as scripted:
        found = findings(scripted.base_url)
        assert {check.status for check in found.values()} == {"ok"}, found
        assert "65536" in found["context"].detail
        assert list(found)[-2:] == ["git", "sandbox"]


def test_a_broken_parser_on_vllm() -> None:
    with ScriptedServer(
        [as_text] * 20, dialect="vllm", context=65_536, reasoning_in_content=True
    ) as scripted:
        found = findings(scripted.base_url)
    assert found["tool call"].status == "warning"
    assert "--tool-call-parser glm47" in found["tool call"].mend
    assert found["reasoning"].status == "warning"
    assert "--reasoning-parser glm45" in found["reasoning"].mend


def test_calls_that_never_come() -> None:
    with ScriptedServer([{"content": "I can't."}] * 20, dialect="vllm") as scripted:
        found = findings(scripted.base_url)
    assert found["tool call"].status == "failed"
    assert "--enable-auto-tool-choice" in found["tool call"].mend


def test_a_model_without_calls_is_asked_bounded_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with ScriptedServer([{"content": "I can't."}] * 20, dialect="vllm", model="tiny") as scripted:
        assert findings(scripted.base_url)["strategy"].status == "warning"
        asked = len(scripted.chats)
        findings(scripted.base_url)
        assert len(scripted.chats) == 2 * asked - 1


def test_tools_that_the_server_refuses() -> None:
    refusal = {"fault": "bad_request"}
    with ScriptedServer([refusal] * 20) as scripted:
        found = findings(scripted.base_url)
    assert found["tool call"].status == "failed"
    assert "--jinja" in found["tool call"].mend


def test_a_context_that_is_too_small() -> None:
    with ScriptedServer([good] * 20, context=8_192) as scripted:
        found = findings(scripted.base_url)
    assert found["context"].status == "failed"
    assert "-c 65536" in found["context"].mend


def test_ollama_with_its_own_context() -> None:
    with FixedServer(
        {
            "/v1/models": {"data": [{"id": "glm-4.7-flash:latest", "owned_by": "library"}]},
            "/api/version": {"version": "0.40.1"},
            "/api/ps": {"models": [{"model": "glm-4.7-flash:latest", "context_length": 4096}]},
        }
    ) as fixed:
        found = findings(fixed.base_url)
    assert found["context"].status == "failed"
    assert "OLLAMA_CONTEXT_LENGTH" in found["context"].mend


def test_fields_that_are_not_taken() -> None:
    script = [{"fault": "unknown_field"}, *[good] * 20]
    with ScriptedServer(script, dialect="vllm", context=65_536) as scripted:
        found = findings(scripted.base_url)
    assert found["sampling"].status == "warning"
    assert "thinking_token_budget" in found["sampling"].detail


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"loading": 9}, None, "still loading"),
        ({"api_key": "right"}, "wrong", "refused the API key"),
    ],
)
def test_a_server_that_can_not_be_used_yet(options: dict[str, Any], key: Any, words: str) -> None:
    with ScriptedServer([], **options) as scripted:
        found = findings(scripted.base_url, key)
    assert found["server"].status == "failed"
    assert words in found["server"].detail
    assert found["server"].mend
    assert list(found) == ["server", "git", "sandbox"]


def test_nothing_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "LOCAL_PORTS", (1,))
    for base_url in (None, "http://127.0.0.1:1"):
        found = findings(base_url)
        assert found["server"].status == "failed"
        assert "--base-url" in found["server"].mend


def test_no_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor._git().status == "failed"


@pytest.mark.llama
def test_llama_cpp_itself(tmp_path: Path) -> None:
    """Random weights call no tool; everything else of a real server is in order."""
    require("the random model", RANDOM.is_file(), f"{RANDOM.name} is not there")
    with EmbeddedServer(RANDOM, context_tokens=8_192, directory=tmp_path / "log") as server:
        found = findings(server.base_url, server.api_key)
    ok = ("server", "model", "earlier reasoning", "prompt cache", "speed", "sampling")
    assert {name: found[name].status for name in ok} == dict.fromkeys(ok, "ok")
    assert found["context"].status == "failed"
    assert found["tool call"].status in ("failed", "warning")
