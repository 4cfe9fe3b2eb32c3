"""How many conversations a server holds: told by real llama.cpp, and by vLLM's own metric."""

from __future__ import annotations

from pathlib import Path

import pytest

from reapair.agent.demo import MODEL
from reapair.agent.model.capacity import Capacity, capacity
from reapair.agent.model.servers import detect
from reapair.agent.model.types import Server, ServerKind
from reapair.agent.serve.keep import EmbeddedServer
from support.fixed_server import FixedServer

CACHE = (
    "# TYPE vllm:cache_config_info gauge\n"
    'vllm:cache_config_info{{block_size="16",cache_dtype="auto",engine="0",'
    'num_gpu_blocks="{blocks}",num_cpu_blocks="None"}} 1.0\n'
)


def server(kind: ServerKind, base_url: str, context: int | None) -> Server:
    return Server(kind, base_url, "glm-4.7-flash", context)


@pytest.mark.parametrize(
    ("slots", "context", "wanted", "expected"),
    [
        (1, 65_536, 8, Capacity(1, 65_536, pinned=True)),
        (8, 65_536, 4, Capacity(4, 65_536, pinned=True)),
        (8, 16_384, 16, Capacity(8, 16_384, pinned=True)),
        # Four share one context when llama-server was left to choose, and do not say so.
        (4, 131_072, 8, Capacity(4, 32_768, pinned=True)),
        (4, 65_536, 8, Capacity(2, 32_768, pinned=True)),
        (4, 131_072, 2, Capacity(2, 65_536, pinned=True)),
        (4, 16_384, 8, Capacity(4, 16_384, pinned=True)),
        (None, 65_536, 8, Capacity(1, 65_536)),
    ],
)
def test_slots(slots: int | None, context: int, wanted: int, expected: Capacity) -> None:
    with FixedServer({"/props": {"total_slots": slots}}) as fixed:
        assert capacity(server("llama.cpp", fixed.base_url, context), wanted) == expected


@pytest.mark.parametrize(
    ("metrics", "context", "expected"),
    [
        (CACHE.format(blocks=16_384), 202_752, Capacity(8, 32_768)),
        (CACHE.format(blocks=16_384), 16_384, Capacity(8, 16_384)),
        (CACHE.format(blocks=6_144), 65_536, Capacity(3, 32_768)),
        (CACHE.format(blocks=512), 8_192, Capacity(1, 8_192)),
        # It has room for one whole context at least, or it would not have started.
        ("", 131_072, Capacity(4, 32_768)),
    ],
)
def test_cache_of_vllm(metrics: str, context: int, expected: Capacity) -> None:
    with FixedServer({"/metrics": metrics}) as fixed:
        assert capacity(server("vllm", fixed.base_url, context), 8) == expected


def test_others() -> None:
    with FixedServer({}) as fixed:
        assert capacity(server("other", fixed.base_url, None), 8).conversations == 4
        assert capacity(server("ollama", fixed.base_url, 8_192), 8).conversations == 1
    assert capacity(server("vllm", "http://127.0.0.1:9/v1", 8_192), 1) == Capacity(1, 8_192)


@pytest.mark.llama
def test_real_slots(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with EmbeddedServer(MODEL, context_tokens=8_192, slots=3, directory=log) as running:
        found = detect(running.base_url, api_key=running.api_key)
        room = capacity(found, 5, api_key=running.api_key)
    assert room.conversations == 3
    assert room.pinned
    assert room.context_tokens == found.context_tokens
    assert found.context_tokens
    assert 2_560 <= found.context_tokens <= 3_072
