"""The head of a GGUF file: real ones, those with known faults, and hostile bytes."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reapair.agent.demo import MODEL
from reapair.agent.serve.gguf import GGUFError, read_metadata


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(**values: str | int) -> bytes:
    """Write a file without tensors; keys with __ for the dot."""
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, len(values))
    for key, value in values.items():
        kind = (8, text(value)) if isinstance(value, str) else (4, struct.pack("<I", value))
        head += text(key.replace("__", ".")) + struct.pack("<I", kind[0]) + kind[1]
    return head


def test_the_demonstration_model_tells_its_architecture() -> None:
    metadata = read_metadata(MODEL)
    assert metadata.values["general.architecture"] == "deepseek2"
    assert metadata.size == MODEL.stat().st_size
    assert metadata.kv_bytes_per_token == 3 * (64 + 16) * 2
    assert metadata.problems() == []


def test_files_from_before_the_gating_fix_and_without_template_are_named(tmp_path: Path) -> None:
    file = tmp_path / "old.gguf"
    file.write_bytes(
        gguf(
            general__architecture="deepseek2",
            deepseek2__attention__kv_lora_rank=512,
            deepseek2__block_count=47,
            deepseek2__rope__dimension_count=64,
            deepseek2__expert_gating_func=1,
        )
    )
    metadata = read_metadata(file)
    assert metadata.kv_bytes_per_token == 54_144
    assert [word in " ".join(metadata.problems()) for word in ("template", "January")] == [True] * 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GGUF",
        b"<!doctype html>",
        MODEL.read_bytes()[:5_000],
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**62),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IIQ", 9, 9, 1) * 5_000,
    ],
    ids=["empty", "short", "web page", "cut", "many entries", "long string", "nested arrays"],
)
def test_a_file_that_is_none_is_said_to_be(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "bad.gguf"
    file.write_bytes(data)
    with pytest.raises(GGUFError, match="whole GGUF"):
        read_metadata(file)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_hostile_bytes_never_do_harm(tmp_path_factory: pytest.TempPathFactory, tail: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.gguf"
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 3) + tail)
    with suppress(GGUFError):
        read_metadata(file)
