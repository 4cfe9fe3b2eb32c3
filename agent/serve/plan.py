"""Chooses engine, file and context for a machine, and says why.

Memory is counted as weights + context + what the engine itself takes; the sandbox's and the
system's share is left free. All sizes are bytes.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from reapair.agent.model.types import ModelError
from reapair.agent.serve.catalogue import (
    EXPERT_LAYERS,
    FILES,
    FLOOR,
    HEADS,
    KV_BYTES_PER_TOKEN,
    TRAINED_CONTEXT,
    UNQUANTISED,
    ModelFile,
    named,
)
from reapair.agent.serve.gguf import GGUFError, read_metadata
from reapair.agent.serve.hardware import Machine
from reapair.sandbox.limits import GIB, Limits

EngineName = Literal["embedded", "llama-server", "vllm"]

CONTEXTS = (65_536, 32_768, 16_384)
"""Tokens an attempt gets, the first that fits. Histories are compacted at 60,000 to 80,000, so more
is not used; below the last a run can hardly work."""

_SYSTEM = int(1.5 * GIB)  # The operating system, the harness, Docker.
_ANOTHER_SANDBOX = GIB  # What a further attempt's sandbox is allowed for; few reach their limit.
_ENGINE = int(0.75 * GIB)  # llama.cpp's compute buffers, on each GPU.
_GPU_SHARE = 0.95  # The rest goes to the display and to fragmentation.
_UNIFIED_SHARE = 0.75  # What macOS lets its GPU use.
_VLLM_SHARE = 0.9  # vLLM's own --gpu-memory-utilization.
_VLLM_ENGINE = 3 * GIB  # CUDA graphs and activations, on each GPU.
_EXPERT_SHARE = 0.9  # Of a file's weights, those that may stay in main memory.


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start. `context` is in tokens for each of `slots` attempts."""

    engine: EngineName
    model: str
    size: int
    context: int
    slots: int
    why: str
    file: ModelFile | None = None
    path: Path | None = None
    gpu: bool = False
    cpu_expert_layers: int = 0
    tensor_parallel: int = 1
    threads: int = 1
    warnings: list[str] = field(default_factory=list)


def make_plan(
    machine: Machine,
    engines: Collection[EngineName],
    *,
    engine: EngineName | None = None,
    model: str | None = None,
    context: int | None = None,
    slots: int = 1,
) -> Plan:
    """Return what to start on this machine.

    Args:
        machine: its memory and GPUs.
        engines: the engines that are installed.
        engine: the one that the user asked for.
        model: a GGUF file, a quantisation (`Q4_K_M`), or for vLLM a repository of the hub.
        context: tokens for each attempt; None takes what fits.
        slots: attempts that are served at once.

    Raises ModelError when nothing fits, or what is needed is not installed.
    """
    contexts = (context,) if context else CONTEXTS
    name = engine or _engine(machine, engines, model, contexts[0] * slots)
    if name not in engines:
        raise ModelError(_missing(name, machine))
    if name == "vllm":
        return _vllm_plan(machine, model or UNQUANTISED, contexts, slots)
    rooms = _Rooms.of(machine, slots, gpu=bool(machine.gpus) and name == "llama-server")
    own = Path(model) if model else None
    if own and own.is_file():
        return _file_plan(name, rooms, machine, own, contexts, slots)
    candidates = FILES
    if model:
        file = named(model)
        if file is None:
            raise ModelError(
                f"{model} is neither a file nor a quantisation that is known.\n"
                "Name a GGUF file, or one of the list that agent models shows."
            )
        candidates = (file,)
    return _choose_file(name, rooms, machine, candidates, contexts, slots)


def _engine(
    machine: Machine, engines: Collection[EngineName], model: str | None, tokens: int
) -> EngineName:
    """Return the engine that suits the machine. A GPU is never passed over in silence."""
    whole = model is None or (named(model) is None and not Path(model).is_file())
    if whole and "vllm" in engines and _tensor_parallel(machine, tokens):
        return "vllm"
    if "llama-server" in engines or machine.gpus:
        return "llama-server"
    return "embedded"


NO_EMBEDDED = "The embedded llama.cpp is not installed.\nInstall it: pip install 'reapair[local]'"


def _missing(engine: EngineName, machine: Machine) -> str:
    if engine == "embedded":
        return NO_EMBEDDED
    if engine == "vllm":
        return "vLLM is not installed.\nInstall it in an environment of its own: pip install vllm"
    if machine.unified:
        how = "brew install llama.cpp"
    else:
        flag = "GGML_HIP" if machine.gpus and machine.gpus[0].maker == "amd" else "GGML_CUDA"
        how = (
            "git clone https://github.com/ggml-org/llama.cpp && cd llama.cpp && "
            f"cmake -B build -D{flag}=ON && cmake --build build --target llama-server -j, "
            "and put build/bin on PATH"
        )
    first = machine.gpus[0].name if machine.gpus else "this machine"
    return (
        f"llama-server, which can use {first}, is not on PATH.\n"
        f"Install it: {how}. Without the GPU, slowly: agent serve --engine embedded."
    )


@dataclass(frozen=True, slots=True)
class _Rooms:
    """Bytes that weights and context may take on the GPUs and in main memory."""

    gpu: int
    memory: int

    @classmethod
    def of(cls, machine: Machine, slots: int, *, gpu: bool) -> _Rooms:
        kept = _SYSTEM + Limits().memory + (slots - 1) * _ANOTHER_SANDBOX
        memory = max(0, machine.memory - kept - _ENGINE)
        if not gpu:
            return cls(0, memory)
        if machine.unified:
            return cls(min(int(machine.memory * _UNIFIED_SHARE) - _ENGINE, memory), 0)
        own = sum(int(one.memory * _GPU_SHARE) - _ENGINE for one in machine.gpus)
        return cls(max(0, own), memory)

    def expert_layers(self, size: int, context: int) -> int | None:
        """Return how many layers' experts must stay in main memory; None where nothing fits."""
        excess = size + context - (self.gpu or self.memory)
        if excess <= 0:
            return 0
        if not self.gpu or excess > self.memory:
            return None
        layers = math.ceil(EXPERT_LAYERS * excess / (size * _EXPERT_SHARE))
        return layers if layers <= EXPERT_LAYERS else None


def _choose_file(
    engine: EngineName,
    rooms: _Rooms,
    machine: Machine,
    files: tuple[ModelFile, ...],
    contexts: tuple[int, ...],
    slots: int,
) -> Plan:
    """Take the largest file that fits: with less context rather than below the floor.

    Weights in main memory slow every token down, so where some must lie there it is the smallest
    good file; and a file below the floor gets no more context than a run needs.
    """
    good = [file for file in files if not file.below_floor]
    rest = [file for file in files if file.below_floor]
    modest = contexts[1:] or contexts
    for group, wanted, split in (
        (good, contexts, False),
        (good[::-1], contexts, True),
        (rest, modest, False),
        (rest, modest, True),
    ):
        for context in wanted:
            for file in group:
                layers = rooms.expert_layers(file.size, context * slots * KV_BYTES_PER_TOKEN)
                if layers is not None and (layers == 0 or split):
                    return _plan(engine, rooms, machine, file, context, slots, layers)
    smallest = files[-1]
    raise ModelError(
        f"No file fits: {smallest.quantisation} needs {gigabytes(smallest.size)} and "
        f"{gigabytes(contexts[-1] * slots * KV_BYTES_PER_TOKEN)} for {contexts[-1]:,} tokens, and "
        f"there are {gigabytes(rooms.gpu or rooms.memory)} beside system and sandbox.\n"
        "Serve it on another machine and name that with --base-url."
    )


def _plan(
    engine: EngineName,
    rooms: _Rooms,
    machine: Machine,
    file: ModelFile,
    context: int,
    slots: int,
    layers: int,
) -> Plan:
    kv = context * slots * KV_BYTES_PER_TOKEN
    place = "memory" if not rooms.gpu or machine.unified else "GPU memory"
    why = (
        f"{file.quantisation} ({gigabytes(file.size)}) and {context:,} tokens"
        f"{f' for each of {slots} attempts' if slots > 1 else ''} ({gigabytes(kv)}) in "
        f"{gigabytes(rooms.gpu or rooms.memory)} of {place}"
    )
    if layers:
        why += f"; the experts of {layers} layers stay in main memory"
    warnings = []
    if file.below_floor:
        warnings.append(f"{file.quantisation} is below {FLOOR}: expect lost threads and bad calls.")
    if machine.gpus and engine == "embedded":
        warnings.append(f"{machine.gpus[0].name} is not used: the embedded engine computes on CPU.")
    return Plan(
        engine, file.name, file.size, context, slots, why, file=file, gpu=bool(rooms.gpu),
        cpu_expert_layers=layers, threads=machine.cores, warnings=warnings,
    )  # fmt: skip


def _file_plan(
    engine: EngineName,
    rooms: _Rooms,
    machine: Machine,
    path: Path,
    contexts: tuple[int, ...],
    slots: int,
) -> Plan:
    """Plan for a file of the user's own, by what it says about itself."""
    try:
        metadata = read_metadata(path)
    except GGUFError as error:
        raise ModelError(str(error)) from error
    trained = metadata.of("context_length") or TRAINED_CONTEXT
    per_token = metadata.kv_bytes_per_token or KV_BYTES_PER_TOKEN
    for context in dict.fromkeys(min(wanted, trained) for wanted in contexts):
        kv = context * slots * per_token
        layers = rooms.expert_layers(metadata.size, kv)
        if layers is not None:
            why = (
                f"{path.name} ({gigabytes(metadata.size)}) and {context:,} tokens ({gigabytes(kv)})"
            )
            return Plan(
                engine, path.name, metadata.size, context, slots, why, path=path.resolve(),
                gpu=bool(rooms.gpu), cpu_expert_layers=layers, threads=machine.cores,
                warnings=metadata.problems(),
            )  # fmt: skip
    raise ModelError(
        f"{path.name} ({gigabytes(metadata.size)}) does not fit into "
        f"{gigabytes(rooms.gpu + rooms.memory)} beside system and sandbox.\n"
        "Take a smaller file: agent models shows what fits."
    )


def _tensor_parallel(machine: Machine, tokens: int) -> int | None:
    """Return over how many GPUs vLLM must spread the unquantised model; None: it does not fit."""
    own = [gpu.memory for gpu in machine.gpus if gpu.maker != "apple"]
    need = FILES[0].size + tokens * KV_BYTES_PER_TOKEN
    for count in (1, 2, 4):
        if count <= len(own) and HEADS % count == 0:
            room = count * (int(min(own) * _VLLM_SHARE) - _VLLM_ENGINE)
            if need <= room:
                return count
    return None


def _vllm_plan(machine: Machine, model: str, contexts: tuple[int, ...], slots: int) -> Plan:
    for context in contexts:
        count = _tensor_parallel(machine, context * slots)
        if count or model != UNQUANTISED:
            kv = gigabytes(context * slots * KV_BYTES_PER_TOKEN)
            gpus = f"{count} GPU{'s' if (count or 1) > 1 else ''}" if count else "the GPUs"
            size = FILES[0].size if model == UNQUANTISED else 0
            weights = f" ({gigabytes(size)})" if size else ""
            why = f"{model}{weights} unquantised and {context:,} tokens ({kv}) on {gpus}"
            return Plan(
                "vllm", model, size, context, slots, why, gpu=True, tensor_parallel=count or 1
            )
    total = sum(gpu.memory for gpu in machine.gpus)
    raise ModelError(
        f"{model} needs {gigabytes(FILES[0].size)} and its context; the GPUs have "
        f"{gigabytes(total)} free.\nServe a quantised file: agent serve --engine llama-server."
    )


def gigabytes(size: int) -> str:
    """Write a size the way model pages do."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
