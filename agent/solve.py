"""From an issue to a result: connects the parts and runs the graph."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from reapair.agent.events import Event
from reapair.agent.finish import finish
from reapair.agent.model.types import Model, ModelError
from reapair.agent.result import ExitReason, Result
from reapair.agent.run import Run, RunError
from reapair.agent.session import Session
from reapair.agent.settings import Settings
from reapair.agent.workspace import Workspace
from reapair.sandbox import SandboxError

if TYPE_CHECKING:
    from langgraph.checkpoint.sqlite import SqliteSaver

RECURSION_LIMIT = 1_000_000
"""LangGraph's own limit counts supersteps; ours counts steps and ends runs by name."""


NO_SERVER = (
    "No model server answers on this machine's usual ports (8080, 8000, 11434, 1234).\n"
    "Start one, for example: llama-server --jinja -hf "
    "unsloth/GLM-4.7-Flash-REAP-23B-A3B-GGUF:UD-Q4_K_XL, or name one with --base-url."
)


class UsageError(Exception):
    """The user asked for something that cannot be. The message says what to do instead."""


def solve(
    issue: str,
    repository: Path | str = ".",
    settings: Settings | None = None,
    *,
    model: Model | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Result:
    """Solve one issue.

    Args:
        issue: its text.
        repository: a directory inside a git repository; only read, until the hand-over.
        settings: default: from the environment.
        model: a client of your own; default: the one that `settings` name.
        on_event: called with every event as it happens, from the thread that made it.

    Returns the result, whatever became of the issue. Raises UsageError, ModelError (no server) and
    RunError (no place to keep the run) before anything has happened.
    """
    _import_in_background()
    settings = settings or Settings()
    top = repository_top(Path(repository))
    if not issue.strip():
        raise UsageError("The issue is empty. Give its text, a file, or - for standard input.")
    model = model or connect(settings)
    run = Run.create(settings.runs)
    if on_event:
        run.listen(on_event)
    workspace = Workspace(run, settings, top)
    try:
        return _drive(Session(run, settings, model, workspace, issue))
    finally:
        workspace.close()
        run.close()


def connect(settings: Settings) -> Model:
    """Return a client for the server that the settings name, or for one found on this machine.

    A server that was merely found gets no key. Raises ModelError when there is none.
    """
    from reapair.agent.model.client import Client
    from reapair.agent.model.servers import detect, find_local

    if settings.base_url is None:
        found = find_local()
        if found is None:
            raise ModelError(NO_SERVER)
        return Client(found, api_key=None)
    key = settings.api_key.get_secret_value() if settings.api_key else None
    server = detect(settings.base_url, api_key=key, model=settings.model)
    return Client(server, api_key=key)


def repository_top(directory: Path) -> Path:
    """Return the work tree that `directory` lies in. Raises UsageError when there is none."""
    start = directory.resolve()
    for candidate in (start, *start.parents):
        if (candidate / ".git").exists():
            return candidate
    raise UsageError(f"{directory} is not inside a git repository. Run this in one, or git init.")


def _drive(session: Session) -> Result:
    """Run the graph to its end; what ends it early becomes a named result."""
    from langsmith.run_helpers import tracing_context

    from reapair.agent.graph import build

    config = {"configurable": {"thread_id": session.run.id}, "recursion_limit": RECURSION_LIMIT}
    error = ""
    reason = ExitReason.INTERNAL_ERROR
    checkpointer = _checkpointer(session.run.directory / "checkpoint.sqlite")
    try:
        # LangSmith would upload the state wherever the user's environment turns its tracing on.
        with tracing_context(enabled=False):
            build(session, checkpointer).invoke({}, config, durability="sync")
    except SandboxError as problem:
        reason, error = ExitReason.SANDBOX_ERROR, str(problem)
    except RunError as problem:
        reason, error = ExitReason.STORAGE_ERROR, str(problem)
    except KeyboardInterrupt:
        session.model.cancel()
        reason, error = ExitReason.CANCELLED, "Stopped by the user."
    finally:
        checkpointer.conn.close()
    for event in session.run.of_kind("run_finished"):
        return Result.model_validate(event.data["result"])
    steps = max((event.step for event in session.run.of_kind("tool_result")), default=0)
    return finish(session, reason, steps=steps, error=error, hand_over=False)


def _checkpointer(file: Path) -> SqliteSaver:
    import sqlite3

    from langgraph.checkpoint.sqlite import SqliteSaver

    connection = sqlite3.connect(file, check_same_thread=False)
    # Survives kill -9; the event log is the truth after a power failure.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return SqliteSaver(connection)


def _import_in_background() -> None:
    """Load what is slow to import while the server is asked and the container starts."""

    def load() -> None:
        import openai  # noqa: F401

    threading.Thread(target=load, daemon=True).start()
