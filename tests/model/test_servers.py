"""Telling servers apart, and reading what fits into them."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from reapair.agent.model import servers
from reapair.agent.model.connection import Hangup, api_root, brief_client, is_near
from reapair.agent.model.request import can_stream
from reapair.agent.model.server_probe import AccessRefused, NothingThere, ServerLoading
from reapair.agent.model.servers import detect, find_local, is_ready
from reapair.agent.model.types import ModelError, Server
from support.fixed_server import FixedServer
from support.scripted_server import ScriptedServer


def models(*names: str, **fields: Any) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name, "object": "model", **fields} for name in names]}


PROPS = {"default_generation_settings": {"n_ctx": 4096}, "build_info": "b1", "total_slots": 1}
GGUF = "/models/GLM-4.7-Flash-REAP-23B-A3B-UD-Q4_K_XL.gguf"
SWAP = {
    "/v1/models": models("glm", "qwen", owned_by="llama-swap"),
    "/running": {"running": [{"model": "glm", "state": "ready"}]},
    "/upstream/glm/props": PROPS,
}
KINDS: dict[str, tuple[dict[str, Any], Server]] = {
    "llama.cpp": (
        {"/v1/models": models("glm-4.7-flash", owned_by="llamacpp"), "/props": PROPS},
        Server("llama.cpp", "", "glm-4.7-flash", 4096, "b1"),
    ),
    "llama.cpp behind an alias": (
        {
            "/v1/models": models("mine", owned_by="llamacpp"),
            "/props": {**PROPS, "model_path": GGUF, "chat_template": "[gMASK]<sop>"},
        },
        Server("llama.cpp", "", "mine", 4096, "b1", GGUF.rpartition("/")[2]),
    ),
    "llama.cpp without /props": (
        {"/v1/models": models("glm-4.7", owned_by="llamacpp", meta={"n_ctx": 8192})},
        Server("llama.cpp", "", "glm-4.7", 8192, ""),
    ),
    "the router of llama-server": (
        {
            "/v1/models": {"data": [
                {"id": "a/glm-4.7", "owned_by": "llamacpp", "status": {"value": "loaded"}},
                {"id": "b", "owned_by": "llamacpp", "status": {"value": "unloaded"}},
            ]},
            "/props": {"default_generation_settings": {"n_ctx": 0}, "build_info": "b2"},
            "/props?model=a%2Fglm-4.7&autoload=false": PROPS,
        },
        Server("llama.cpp", "", "a/glm-4.7", 4096, "b2"),
    ),
    "llama-swap": (SWAP, Server("llama.cpp", "", "glm", 4096, "b1")),
    "vLLM": (
        {
            "/v1/models": models("zai-org/GLM-4.7-Flash", owned_by="vllm", max_model_len=65536),
            "/version": {"version": "0.33.0"},
        },
        Server("vllm", "", "zai-org/GLM-4.7-Flash", 65536, "0.33.0"),
    ),
    "Ollama": (
        {
            "/v1/models": models("glm-4.7-flash:latest", "qwen:7b", owned_by="library"),
            "/api/version": {"version": "0.40.1"},
            "/api/ps": {"models": [{"model": "glm-4.7-flash:latest", "context_length": 4096}]},
        },
        Server("ollama", "", "glm-4.7-flash:latest", 4096, "0.40.1"),
    ),
    "Ollama with nothing loaded": (
        {
            "/v1/models": models("glm-4.7-flash:latest", owned_by="library"),
            "/api/version": {"version": "0.40.1"},
            "/api/ps": {"models": []},
        },
        Server("ollama", "", "glm-4.7-flash:latest", None, "0.40.1"),
    ),
    "LM Studio": (
        {
            "/v1/models": models("glm-4.7-flash", "other", owned_by="organization_owner"),
            "/api/v0/models": {"data": [
                {"id": "glm-4.7-flash", "state": "loaded", "loaded_context_length": 16384},
                {"id": "other", "state": "not-loaded", "max_context_length": 1000},
            ]},
        },
        Server("lmstudio", "", "glm-4.7-flash", 16384),
    ),
    "something else": ({"/v1/models": models("m", owned_by="x")}, Server("other", "", "m", None)),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind: str) -> None:
    answers, expected = KINDS[kind]
    with FixedServer(answers) as fixed:
        server = detect(fixed.base_url)
        assert server == Server(**{**_fields(expected), "base_url": fixed.base_url})
        assert {method for method, *_ in fixed.asked} == {"GET"}
        assert {key for *_, key in fixed.asked} == {None}


def _fields(server: Server) -> dict[str, Any]:
    return {name: getattr(server, name) for name in Server.__slots__}


@pytest.mark.parametrize("dialect", ["llama.cpp", "vllm"])
def test_the_scripted_dialects(dialect: str) -> None:
    with ScriptedServer([], dialect=dialect, context=12345) as scripted:
        server = detect(scripted.base_url.removesuffix("/v1"))
        assert (server.kind, server.context_tokens) == (dialect, 12345)
        assert is_ready(server)


def test_the_key_goes_to_the_server_that_was_named() -> None:
    with ScriptedServer([], api_key="right") as scripted:
        assert detect(scripted.base_url, api_key="right").kind == "llama.cpp"
        for wrong in ("wrong", None):
            with pytest.raises(AccessRefused, match="AGENT_API_KEY"):
                detect(scripted.base_url, api_key=wrong)


def test_a_server_that_loads_is_told_from_one_that_is_not_there() -> None:
    with ScriptedServer([], loading=1) as scripted:
        with pytest.raises(ServerLoading, match="still loading"):
            detect(scripted.base_url)
        assert detect(scripted.base_url).model == "glm-4.7-flash"
    with pytest.raises(NothingThere, match="connection refused"):
        detect(scripted.base_url)


def test_a_server_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(NothingThere, match="no answer in time"):
            detect(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("answers", [{}, {"/v1/models": "<html>"}, {"/v1/models": (500, {})}])
def test_what_is_no_model_server(answers: dict[str, Any]) -> None:
    with FixedServer(answers) as fixed, pytest.raises(ModelError) as caught:
        detect(fixed.base_url)
    assert len(str(caught.value).splitlines()) == 2


def test_an_open_choice_is_put_to_the_user() -> None:
    with FixedServer({"/v1/models": models("a", "b", owned_by="vllm")}) as fixed:
        with pytest.raises(ModelError, match=r"has 2 models: a, b\.\nChoose one with --model"):
            detect(fixed.base_url)
        with pytest.raises(ModelError, match="has no model 'c'"):
            detect(fixed.base_url, model="c")
        assert detect(fixed.base_url, model="b").model == "b"


def test_llama_swap_is_not_made_to_load_another_model() -> None:
    with FixedServer(SWAP) as fixed:
        assert detect(fixed.base_url, model="qwen").context_tokens is None
        assert not any("qwen" in path for _, path, _ in fixed.asked)


def test_finding_a_local_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with FixedServer({}) as website, ScriptedServer([]) as scripted:
        ports = [int(url.split(":")[2][:-3]) for url in (website.base_url, scripted.base_url)]
        monkeypatch.setattr(servers, "LOCAL_PORTS", (1, *ports))
        found = find_local()
        assert found is not None
        assert found.base_url == scripted.base_url
        assert all("authorization" not in request.headers for request in scripted.requests)
        monkeypatch.setattr(servers, "LOCAL_PORTS", (1, ports[0]))
        assert find_local() is None


def test_a_local_server_that_wants_a_key_is_told() -> None:
    with ScriptedServer([], api_key="x") as scripted, pytest.MonkeyPatch.context() as patch:
        patch.setattr(servers, "LOCAL_PORTS", (int(scripted.base_url.split(":")[2][:-3]),))
        with pytest.raises(AccessRefused):
            find_local()


@pytest.mark.parametrize(
    ("given", "root"),
    [
        ("localhost:8080", "http://localhost:8080/v1"),
        ("http://h:1/", "http://h:1/v1"),
        ("http://h:1/v1/", "http://h:1/v1"),
        ("https://api.example/api/paas/v4", "https://api.example/api/paas/v4"),
        ("http://h/v1/chat/completions", "http://h/v1"),
        ("http://[::1]:8080", "http://[::1]:8080/v1"),
        ("http://h/proxy", "http://h/proxy/v1"),
    ],
)
def test_addresses(given: str, root: str) -> None:
    assert api_root(given) == root


@pytest.mark.parametrize(
    "given", ["", "ftp://x", "http://", "http://h:99999", "http://h:x", "http://["]
)
def test_what_is_no_address(given: str) -> None:
    with pytest.raises(ModelError, match="--base-url"):
        api_root(given)


@pytest.mark.parametrize("trusted", [True, False])
def test_a_private_authority_is_trusted_near_home(
    trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=home", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    else:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"https://127.0.0.1:{server.server_port}"
    try:
        with brief_client(address, 10, Hangup()) as client:
            if trusted:
                assert client.get(f"{address}/none").status_code == 404
            else:
                with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                    client.get(f"{address}/none")
    finally:
        server.shutdown()
        server.server_close()


def test_a_proxy_is_not_asked_for_what_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with ScriptedServer([]) as scripted:
        assert detect(scripted.base_url).kind == "llama.cpp"
    near = ["http://localhost/v1", "http://127.0.0.2/v1", "http://[::1]/v1", "http://172.20.0.1/v1",
            "http://host.docker.internal:1/v1"]  # fmt: skip
    assert all(is_near(url) for url in near)
    assert not any(is_near(url) for url in ("http://example.org/v1", "http://8.8.8.8/v1"))


def test_old_releases_of_vllm_are_not_streamed() -> None:
    assert not can_stream(Server("vllm", "", "m", None, "0.17.1"))
    assert can_stream(Server("vllm", "", "m", None, "0.24.0rc1"))
    assert can_stream(Server("vllm", "", "m", None, "dev"))
    assert can_stream(Server("llama.cpp", "", "m", None, "0.1"))
