"""What this machine has for a model: memory, cores, graphics processors."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from typing import Literal

MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Gpu:
    """One graphics processor; `memory` is what is free of it, in bytes."""

    name: str
    memory: int
    maker: Literal["nvidia", "amd", "apple"]


@dataclass(frozen=True, slots=True)
class Machine:
    """Memory in bytes, and what computes. On Apple silicon the GPU shares the memory."""

    memory: int
    cores: int
    gpus: tuple[Gpu, ...] = ()

    @property
    def unified(self) -> bool:
        """Whether the GPU and the rest share one memory."""
        return any(gpu.maker == "apple" for gpu in self.gpus)


def this_machine() -> Machine:
    """Look at the machine: its own tools are asked, nothing is loaded."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(memory, cores or 1, _gpus(memory))


def _gpus(memory: int) -> tuple[Gpu, ...]:
    if platform.system() == "Darwin":
        arm = platform.machine() == "arm64"
        return (Gpu("Apple silicon", memory, "apple"),) if arm else ()
    query = ["nvidia-smi", "--query-gpu=name,memory.free", "--format=csv,noheader,nounits"]
    if found := parse_nvidia(_output(query)):
        return found
    return parse_amd(_output(["rocm-smi", "--showproductname", "--showmeminfo", "vram", "--json"]))


def parse_nvidia(text: str) -> tuple[Gpu, ...]:
    """Read nvidia-smi's lines of `name, free MiB`; a line of another shape is left out."""
    gpus = []
    for line in text.splitlines():
        name, _, free = line.rpartition(",")
        if free.strip().isdigit():
            gpus.append(Gpu(name.strip(), int(free) * MIB, "nvidia"))
    return tuple(gpus)


def parse_amd(text: str) -> tuple[Gpu, ...]:
    """Read rocm-smi's JSON: a card an entry, bytes as strings."""
    gpus = []
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        for card in json.loads(text).values():
            total = card.get("VRAM Total Memory (B)")
            if total:
                free = int(total) - int(card.get("VRAM Total Used Memory (B)", 0))
                name = card.get("Card Series") or card.get("Card series") or "AMD GPU"
                gpus.append(Gpu(str(name), free, "amd"))
    return tuple(gpus)


def _output(command: list[str]) -> str:
    """Return what a tool prints; nothing where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (subprocess.SubprocessError, OSError):
        return ""
    return done.stdout
