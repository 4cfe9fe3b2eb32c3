"""The files of GLM-4.7-Flash-REAP-23B-A3B, what they weigh, and what a context costs.

Sizes are those of the model page on 2026-01-28, in GB (10^9 bytes).
"""

from __future__ import annotations

from dataclasses import dataclass

REPOSITORY = "unsloth/GLM-4.7-Flash-REAP-23B-A3B-GGUF"
UNQUANTISED = "cerebras/GLM-4.7-Flash-REAP-23B-A3B"
"""What vLLM serves; as large as the BF16 file."""

_PREFIX = "GLM-4.7-Flash-REAP-23B-A3B-"

TRAINED_CONTEXT = 202_752
LAYERS, EXPERT_LAYERS, HEADS = 47, 46, 20
KV_BYTES_PER_TOKEN = LAYERS * (512 + 64) * 2
"""52.9 KiB: under MLA a layer keeps one latent (512) and one rotary key (64) a token, in f16."""

FLOOR = "UD-Q4_K_XL"
"""Below this the family was seen to lose the thread of its reasoning."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A GGUF file: its quantisation's name and its size in bytes."""

    quantisation: str
    size: int

    @property
    def name(self) -> str:
        """The file's name on the hub."""
        return f"{_PREFIX}{self.quantisation}.gguf"

    @property
    def below_floor(self) -> bool:
        """Whether reasoning was seen to suffer at this size."""
        return self.size < _by_name(FLOOR).size


_GIGABYTES = {
    "BF16": 42.85, "UD-Q8_K_XL": 25.64, "Q8_0": 22.78, "UD-Q6_K_XL": 18.84, "Q6_K": 17.69,
    "UD-Q5_K_XL": 15.59, "Q5_K_M": 15.35, "Q5_K_S": 14.94, "Q4_1": 13.62, "UD-Q4_K_XL": 13.27,
    "Q4_K_M": 13.14, "Q4_K_S": 12.41, "Q4_0": 12.38, "IQ4_NL": 12.34, "IQ4_XS": 11.71,
    "UD-Q3_K_XL": 10.67, "Q3_K_M": 10.50, "Q3_K_S": 9.59, "UD-IQ3_XXS": 9.35, "UD-Q2_K_XL": 8.39,
    "Q2_K_L": 8.24, "Q2_K": 8.17, "UD-IQ2_M": 7.97, "UD-IQ2_XXS": 7.67, "UD-IQ1_M": 7.07,
    "UD-IQ1_S": 6.71, "UD-TQ1_0": 6.09,
}  # fmt: skip

FILES = tuple(ModelFile(name, round(size * 1e9)) for name, size in _GIGABYTES.items())
"""All of them, the largest first."""


def named(quantisation: str) -> ModelFile | None:
    """Return the file with this quantisation (`Q4_K_M`) or this file name, in any case."""
    wanted = quantisation.removeprefix(_PREFIX).removesuffix(".gguf").upper()
    return next((file for file in FILES if file.quantisation == wanted), None)


def _by_name(quantisation: str) -> ModelFile:
    return next(file for file in FILES if file.quantisation == quantisation)
