"""Reads the metadata at the head of a GGUF file, without its tensors.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (version 2 and 3, little-endian).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9
_MOST_BYTES = 64 * 1024**2
"""More than the head of any model: a vocabulary of 150,000 words takes a few MiB."""

SOFTMAX_GATE = 1
"""`expert_gating_func` of files made before 2026-01-21; the model was trained with a sigmoid."""


class GGUFError(Exception):
    """The file is no GGUF file that can be read. The message says why."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a file says about itself, arrays left out; `size` is the file's, in bytes."""

    values: dict[str, Any]
    size: int

    def of(self, key: str) -> Any:
        """Return an entry of the architecture's own section, or None."""
        return self.values.get(f"{self.values.get('general.architecture')}.{key}")

    @property
    def kv_bytes_per_token(self) -> int | None:
        """What a token of context takes in f16; None where the file does not tell enough."""
        layers, latent = self.of("block_count"), self.of("attention.kv_lora_rank")
        if layers and latent:
            return int(layers * (latent + (self.of("rope.dimension_count") or 0)) * 2)
        heads = self.of("attention.head_count_kv")
        key, value = self.of("attention.key_length"), self.of("attention.value_length")
        if layers and isinstance(heads, int) and key and value:
            return int(layers * heads * (key + value) * 2)
        return None

    def problems(self) -> list[str]:
        """Return the problems of this file for an agent, each with what to do."""
        found = []
        if not self.values.get("tokenizer.chat_template"):
            found.append("The file has no chat template, so it can't call tools. Take another one.")
        if self.of("expert_gating_func") == SOFTMAX_GATE and self.of("attention.kv_lora_rank"):
            found.append(
                "The file was made before 21 January 2026 and has the wrong gating function: it "
                "loops. Fetch it again."
            )
        return found


def read_metadata(file: Path) -> Metadata:
    """Read the head of a GGUF file. Raises GGUFError; any file may be given."""
    try:
        with file.open("rb") as stream:
            values = _head(stream)
        return Metadata(values, file.stat().st_size)
    except OSError as error:
        raise GGUFError(f"{file} can't be read: {error.strerror}.") from error
    except (struct.error, ValueError, UnicodeDecodeError, RecursionError) as error:
        raise GGUFError(f"{file} is not a whole GGUF file. Fetch it again.") from error


def _head(stream: BinaryIO) -> dict[str, Any]:
    if stream.read(4) != b"GGUF":
        raise ValueError("magic")
    version = _number(stream, "<I")
    if version not in (2, 3):
        raise ValueError("version")
    _number(stream, "<Q")  # How many tensors there are.
    values = {}
    for _ in range(_number(stream, "<Q")):
        key = _string(stream)
        value = _value(stream, _number(stream, "<I"))
        if value is not None:
            values[key] = value
        if stream.tell() > _MOST_BYTES:
            raise ValueError("size")
    return values


def _value(stream: BinaryIO, kind: int) -> Any:
    """Read one value; arrays are passed over and give None."""
    if kind == _STRING:
        return _string(stream)
    if kind != _ARRAY:
        return _number(stream, _scalar(kind))
    inner, count = _number(stream, "<I"), _number(stream, "<Q")
    if count > _MOST_BYTES:
        raise ValueError("array")
    if inner in (_STRING, _ARRAY):
        for _ in range(count):
            _value(stream, inner)
    else:
        stream.seek(struct.calcsize(_scalar(inner)) * count, 1)
    return None


def _scalar(kind: int) -> str:
    if kind not in _SCALARS:
        raise ValueError("type")
    return _SCALARS[kind]


def _number(stream: BinaryIO, layout: str) -> Any:
    return struct.unpack(layout, stream.read(struct.calcsize(layout)))[0]


def _string(stream: BinaryIO) -> str:
    length = _number(stream, "<Q")
    if length > _MOST_BYTES:
        raise ValueError("string")
    data = stream.read(length)
    if len(data) != length:
        raise ValueError("short")
    return data.decode("utf-8", "replace")
