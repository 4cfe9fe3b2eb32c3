"""The command line of a plan."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from reapair.agent.model.types import ModelError
from reapair.agent.serve.plan import EngineName, Plan

ALIAS = "glm-4.7-flash"
"""The model's name on the wire, whatever file is behind it."""

OLDEST_VLLM = (0, 15)
"""The first release that can run this architecture with its small context."""

_PRESERVE = "--reasoning-preserve"
"""A flag of llama-server since mid-2026; a server without it parses the model's calls badly."""


def installed() -> list[EngineName]:
    """Return the engines that are on this machine."""
    found: list[EngineName] = []
    if shutil.which("vllm") or find_spec("vllm"):
        found.append("vllm")
    if shutil.which("llama-server"):
        found.append("llama-server")
    if find_spec("xllamacpp"):
        found.append("embedded")
    return found


def command_of(
    plan: Plan,
    model: Path | None,
    *,
    port: int,
    slots_saved: Path | None = None,
    keep: bool = True,
) -> list[str]:
    """Return the arguments that start the plan's server on loopback; the key comes separately.

    Args:
        plan: what to start.
        model: the GGUF file; None for vLLM, which fetches by the repository's name.
        port: where it listens.
        slots_saved: an existing directory for saved prompt caches.
        keep: whether the embedded engine stays when its standard input ends.

    The key is in the environment, because other users of the machine can read command lines:
    LLAMA_API_KEY for llama.cpp, VLLM_API_KEY for vLLM.
    """
    if plan.engine == "vllm":
        return _vllm(plan, port)
    total = plan.context * plan.slots
    if plan.engine == "embedded":
        command = [sys.executable, "-m", "reapair.agent.serve.embedded", str(model)]
        command += ["--port", str(port), "--context", str(total), "--slots", str(plan.slots)]
        command += ["--threads", str(plan.threads), *(["--keep"] if keep else [])]
        return [*command, "--slots-saved", str(slots_saved)] if slots_saved else command
    command = ["llama-server", "-m", str(model), "--alias", ALIAS, "--jinja"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += ["-c", str(total), "-np", str(plan.slots), "-fa", "auto"]
    # What is sent with each request wins; these serve other clients.
    command += ["--temp", "0.7", "--top-p", "1.0", "--min-p", "0.01"]
    command += ["--reasoning-format", "auto", "--metrics"]
    if slots_saved:
        command += ["--slot-save-path", str(slots_saved)]
    if plan.gpu:
        command += ["-ngl", "999"]
    if plan.cpu_expert_layers:
        command += ["--n-cpu-moe", str(plan.cpu_expert_layers)]
    return command


def _vllm(plan: Plan, port: int) -> list[str]:
    module = [sys.executable, "-m", "vllm.entrypoints.cli.main"]
    command = [
        *(["vllm"] if shutil.which("vllm") else module),
        "serve",
        plan.model,
        "--served-model-name",
        ALIAS,
    ]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += ["--max-model-len", str(plan.context)]
    command += ["--tensor-parallel-size", str(plan.tensor_parallel)]
    command += ["--reasoning-parser", "glm45", "--tool-call-parser", "glm47"]
    command += ["--enable-auto-tool-choice", "--enable-prompt-tokens-details"]
    return [*command, "--default-chat-template-kwargs", json.dumps({"clear_thinking": False})]


def check_release(engine: EngineName) -> list[str]:
    """Return warnings about an old server. Raises ModelError for one that can't work."""
    if engine == "llama-server":
        text = _said(["llama-server", "--help"])
        if text and _PRESERVE not in text:
            return [
                "This llama-server is older than mid-2026 and may answer 500 to the model's tool "
                "calls. Update it."
            ]
    if engine == "vllm" and (release := _vllm_release()) and release < OLDEST_VLLM:
        raise ModelError(
            f"vLLM {'.'.join(map(str, release))} can't run this model.\n"
            f"Update it: pip install -U 'vllm>={'.'.join(map(str, OLDEST_VLLM))}'"
        )
    return []


def _vllm_release() -> tuple[int, ...] | None:
    try:
        text = version("vllm")
    except PackageNotFoundError:
        text = _said(["vllm", "--version"])
    numbers = re.search(r"(\d+)\.(\d+)", text)
    return (int(numbers[1]), int(numbers[2])) if numbers else None


def _said(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout + done.stderr
