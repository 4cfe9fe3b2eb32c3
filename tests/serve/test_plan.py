"""What is started on which machine; memory in GiB as people buy it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from reapair.agent.model.types import ModelError
from reapair.agent.serve.catalogue import FILES, KV_BYTES_PER_TOKEN, named
from reapair.agent.serve.command import command_of
from reapair.agent.serve.hardware import Gpu, Machine
from reapair.agent.serve.plan import Plan, make_plan
from reapair.sandbox.limits import GIB, Limits

ALL = ("vllm", "llama-server", "embedded")
LLAMA = ("llama-server", "embedded")


def machine(memory: int, *gpus: int, maker: str = "nvidia", cores: int = 8) -> Machine:
    return Machine(
        memory * GIB,
        cores,
        tuple(Gpu(f"GPU {size}", size * GIB, maker) for size in gpus),  # type: ignore[arg-type]
    )


PROFILES = [
    # machine, installed engines, expected engine, quantisation (None: unquantised), context
    pytest.param(machine(16), LLAMA, "llama-server", "UD-Q2_K_XL", 32_768, id="cpu-16"),
    pytest.param(machine(32), ("embedded",), "embedded", "Q8_0", 65_536, id="cpu-32"),
    pytest.param(machine(64), LLAMA, "llama-server", "BF16", 65_536, id="cpu-64"),
    pytest.param(machine(32, 8), LLAMA, "llama-server", "UD-Q4_K_XL", 65_536, id="gpu-8"),
    pytest.param(machine(32, 16), LLAMA, "llama-server", "Q4_1", 32_768, id="gpu-16"),
    pytest.param(machine(64, 24), LLAMA, "llama-server", "UD-Q6_K_XL", 65_536, id="gpu-24"),
    pytest.param(machine(64, 48), ALL, "llama-server", "BF16", 65_536, id="gpu-48"),
    pytest.param(machine(128, 80), ALL, "vllm", None, 65_536, id="gpu-80"),
    pytest.param(machine(256, 141), ALL, "vllm", None, 65_536, id="gpu-141"),
    pytest.param(machine(128, 40, 40), ALL, "vllm", None, 65_536, id="gpu-2x40"),
    pytest.param(machine(128, 24, 24, 24, 24), ALL, "vllm", None, 65_536, id="gpu-4x24"),
    pytest.param(
        machine(16, 16, maker="apple"), LLAMA, "llama-server", "UD-Q2_K_XL", 32_768, id="apple-16"
    ),
    pytest.param(
        machine(36, 36, maker="apple"), LLAMA, "llama-server", "Q8_0", 65_536, id="apple-36"
    ),
    pytest.param(
        machine(128, 128, maker="apple"), LLAMA, "llama-server", "BF16", 65_536, id="apple-128"
    ),
]


@pytest.mark.parametrize(("where", "engines", "engine", "quantisation", "context"), PROFILES)
def test_profiles(
    where: Machine, engines: tuple[str, ...], engine: str, quantisation: str | None, context: int
) -> None:
    plan = make_plan(where, engines)  # type: ignore[arg-type]
    got = (plan.engine, plan.file.quantisation if plan.file else None, plan.context)
    print(f"{plan.why} | {plan.warnings}")
    assert got == (engine, quantisation, context)
    assert f"{plan.context:,} tokens" in plan.why
    _check_fits(where, plan)


def _check_fits(where: Machine, plan: Plan) -> None:
    """Count again, by the published numbers: what is on the GPUs and in memory must be there."""
    kv = plan.context * plan.slots * 52.9 * 1024
    if plan.engine == "vllm":
        assert plan.size + kv < plan.tensor_parallel * where.gpus[0].memory * 0.9
        return
    on_cpu = plan.size * plan.cpu_expert_layers / 46
    on_gpu = plan.size + kv - on_cpu
    if plan.gpu:
        assert on_gpu < sum(gpu.memory for gpu in where.gpus)
    else:
        on_cpu += on_gpu
    shared = on_gpu if where.unified else 0
    assert on_cpu + shared + Limits().memory < where.memory
    weakest = plan.file is not None and plan.file.below_floor
    assert any("below" in warning for warning in plan.warnings) == weakest


def test_too_small_a_machine_is_told_the_figures() -> None:
    with pytest.raises(ModelError, match=r"UD-TQ1_0 needs 6\.1 GB(?s:.*)--base-url") as caught:
        make_plan(machine(8), LLAMA)
    assert len(str(caught.value).splitlines()) == 2


def test_a_gpu_is_never_passed_over_in_silence() -> None:
    with pytest.raises(ModelError, match=r"GGML_CUDA=ON.*--engine embedded"):
        make_plan(machine(64, 24), ("embedded",))
    with pytest.raises(ModelError, match="brew install"):
        make_plan(machine(36, 36, maker="apple"), ("embedded",))
    plan = make_plan(machine(64, 24), ("embedded",), engine="embedded")
    assert "is not used" in plan.warnings[-1]


def test_arithmetic_of_the_context() -> None:
    for tokens, gib in ((32_768, 1.65), (65_536, 3.3), (131_072, 6.6), (202_752, 10.2)):
        assert tokens * KV_BYTES_PER_TOKEN / GIB == pytest.approx(gib, abs=0.03)
    assert len(FILES) == 27
    assert sum(file.size for file in FILES) == pytest.approx(362.97e9, abs=1e7)


def test_experts_that_do_not_fit_stay_in_main_memory() -> None:
    plan = make_plan(machine(32, 8), LLAMA)
    command = command_of(plan, Path("m.gguf"), port=8080)
    assert 10 < plan.cpu_expert_layers <= 46
    assert command[command.index("--n-cpu-moe") + 1] == str(plan.cpu_expert_layers)


def test_slots_share_out_the_context() -> None:
    plan = make_plan(machine(64, 24), LLAMA, slots=4)
    command = command_of(plan, Path("m.gguf"), port=8080)
    assert command[command.index("-c") + 1] == str(4 * plan.context)
    assert command[command.index("-np") + 1] == "4"


def test_the_users_wishes_hold() -> None:
    plan = make_plan(machine(64), LLAMA, model="q4_k_m", context=8_192, engine="embedded")
    assert (plan.engine, plan.model, plan.context) == (
        "embedded", named("Q4_K_M").name, 8_192,  # type: ignore[union-attr]
    )  # fmt: skip
    with pytest.raises(ModelError, match="agent models"):
        make_plan(machine(64), LLAMA, model="Q9")
    with pytest.raises(ModelError, match="pip install vllm"):
        make_plan(machine(64), LLAMA, engine="vllm")


def test_vllm_gets_the_parsers_and_the_cards() -> None:
    line = shlex.join(command_of(make_plan(machine(128, 40, 40), ALL), None, port=8000))
    for part in (
        "--tensor-parallel-size 2", "--reasoning-parser glm45", "--tool-call-parser glm47",
        "--enable-auto-tool-choice", "--enable-prompt-tokens-details", "--max-model-len 65536",
    ):  # fmt: skip
        assert part in line
