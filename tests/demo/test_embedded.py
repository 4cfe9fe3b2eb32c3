"""The embedded llama.cpp server: what it serves, to whom, and when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from reapair.agent.model.types import ModelError
from reapair.agent.serve.keep import EmbeddedServer

RANDOM = Path(__file__).parents[1] / "data/random.gguf"

PARENT = f"""
import time
from pathlib import Path
from reapair.agent.serve.keep import EmbeddedServer
server = EmbeddedServer(Path({str(RANDOM)!r}), context_tokens=1024, directory=Path("log"))
server.__enter__()
print(server.base_url, flush=True)
time.sleep(300)
"""


def serves(base_url: str) -> bool:
    root = base_url.removesuffix("/v1")
    try:
        return httpx2.get(f"{root}/health", trust_env=False, timeout=5).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.mark.llama
def test_serves_one_client_with_a_key_until_it_is_closed(tmp_path: Path) -> None:
    log = tmp_path / "llama"
    with EmbeddedServer(RANDOM, context_tokens=1024, directory=log) as server:
        models = f"{server.base_url}/models"
        with httpx2.Client(trust_env=False) as client:
            key = {"Authorization": f"Bearer {server.api_key}"}
            answer = client.get(models, headers=key).json()
            props = f"{server.base_url.removesuffix('/v1')}/props"
            assert client.get(props).status_code == 401
            settings = client.get(props, headers=key).json()["default_generation_settings"]
        assert [model["id"] for model in answer["data"]] == ["embedded"]
        assert settings["n_ctx"] == 1024
    assert not serves(server.base_url)
    assert server.api_key not in (log / "server.log").read_text("utf-8")


@pytest.mark.llama
def test_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        assert parent.stdout is not None
        base_url = parent.stdout.readline().strip()
        assert serves(base_url)
        os.kill(parent.pid, signal.SIGKILL)
        until = time.monotonic() + 10
        while serves(base_url):
            assert time.monotonic() < until, "the server outlived its parent"
            time.sleep(0.05)
    finally:
        parent.kill()
        parent.wait()


@pytest.mark.llama
def test_says_why_a_file_cannot_be_served(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"no model at all" * 100)
    server = EmbeddedServer(broken, context_tokens=1024, directory=tmp_path / "log")
    with pytest.raises(ModelError, match=r"broken\.gguf: .*magic"), server:
        pass


def test_says_that_there_is_no_file(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    missing = EmbeddedServer(tmp_path / "no.gguf", context_tokens=1024, directory=tmp_path / "log")
    with pytest.raises(ModelError, match="There is no model file"), missing:
        pass


def test_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)  # Python's own way to say "not installed".
    server = EmbeddedServer(RANDOM, context_tokens=1024, directory=tmp_path / "log")
    with pytest.raises(ModelError) as caught, server:
        pass
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "pip install 'reapair[local]'" in lines[1]
