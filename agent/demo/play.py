"""Runs the demonstration: a whole real run with the tiny model that ships."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_state_path

from reapair.agent.demo import CONTEXT_TOKENS, ISSUE, MODEL, PROMPTS, unpack
from reapair.agent.log.events import Event
from reapair.agent.result import Result
from reapair.agent.serve.keep import EmbeddedServer
from reapair.agent.settings.settings import Settings
from reapair.agent.settings.table import SandboxKind
from reapair.agent.surfaces.report.reported import solve
from reapair.sandbox import SandboxError, choose

INTRODUCTION = (
    "The model is a tiny one that ships with the project: it knows this demonstration by heart and "
    "nothing else. It works with the tools and prompts that it was trained with, which are pinned. "
    "Real work wants GLM-4.7-Flash."
)


def play(
    on_event: Callable[[Event], None], *, sandbox: SandboxKind = "auto", model_file: Path = MODEL
) -> Result:
    """Serve the tiny model, let it solve the demonstration's issue, stop the server.

    Args:
        on_event: called with every event of the run.
        sandbox: where commands run; with no engine at all `auto` runs unisolated, because the code
            of the demonstration is ours.
        model_file: the GGUF file to serve.

    Raises ModelError when llama.cpp is not installed or cannot serve the file.
    """
    home = user_state_path("agent") / "demo"
    home.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="demo-", dir=home))
    repository = unpack(place / "timesheet")
    kind = sandbox if sandbox != "auto" else _best_sandbox()
    with EmbeddedServer(
        model_file, context_tokens=CONTEXT_TOKENS, directory=place / "server"
    ) as server:
        settings = Settings(
            base_url=server.base_url,
            api_key=server.api_key,
            sandbox=kind,
            max_steps=20,
            strategy="loop",  # What the tiny model has learnt.
            tools="demonstration",
            prompts=PROMPTS,
        )
        return solve(ISSUE.read_text("utf-8"), repository, settings, on_event=on_event)


def _best_sandbox() -> SandboxKind:
    try:
        choose("auto")
    except SandboxError:
        return "none"
    return "auto"
