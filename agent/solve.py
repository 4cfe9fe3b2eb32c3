"""From an issue to a result: connects the parts and runs the graph."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from reapair.agent.events import Event
from reapair.agent.finish import unfinished
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
    settings = settings or Settings()
    top = repository_top(Path(repository))
    project = project_folder(Path(repository), settings.project)
    settings = settings.model_copy(update={"project": project})
    if not issue.strip():
        raise UsageError("The issue is empty. Give its text, a file, or - for standard input.")
    model = model or connect(settings)
    return _drive(Run.create(settings.runs), settings, model, top, issue, on_event)


def resume(
    run: Run,
    *,
    api_key: str | None = None,
    model: Model | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Result:
    """Go on with a run that was stopped or killed; a finished one only gives its result again.

    Args:
        run: opened by its id; closed afterwards.
        api_key: for the run's server; keys are never stored.
        model: a client of your own; default: the server that the run used.
        on_event: called with every event as it happens.

    Raises UsageError when the run ended before it began, ModelError when its server is gone.
    """
    started = run.of_kind("run_started")
    if not started:
        raise UsageError(f"Run {run.id} was stopped before it began. Start it again with solve.")
    facts = started[0].data
    settings = Settings(**{**facts["settings"], "api_key": api_key})
    model = model or connect(settings)
    return _drive(run, settings, model, Path(facts["repository"]), facts["issue"], on_event)


def connect(settings: Settings) -> Model:
    """Return a client for the server that the settings name, or for one found on this machine.

    A server that was merely found gets no key. Raises ModelError when there is none.
    """
    from reapair.agent.model.client import Client
    from reapair.agent.model.servers import detect, find_local

    if settings.base_url is None:
        found = find_local(settings.model)
        if found is None:
            raise ModelError(NO_SERVER)
        return Client(found, api_key=None)
    key = settings.api_key.get_secret_value() if settings.api_key else None
    server = detect(settings.base_url, api_key=key, model=settings.model)
    return Client(server, api_key=key)


def repository_top(directory: Path) -> Path:
    """Return the work tree that `directory` lies in. Raises UsageError when there is none."""
    from git import InvalidGitRepositoryError, NoSuchPathError, Repo

    try:
        with Repo(directory, search_parent_directories=True) as repository:
            if repository.working_tree_dir:
                return Path(repository.working_tree_dir).resolve()
    except (InvalidGitRepositoryError, NoSuchPathError):
        pass
    raise UsageError(f"{directory} is not inside a git work tree. Run this in one, or git init.")


def project_folder(directory: Path, project: Path | None) -> Path:
    """Return the folder whose project is set up and tested; by default the directory itself.

    Raises UsageError when it is no folder of the directory's repository.
    """
    top, folder = repository_top(directory), (directory / (project or "")).resolve()
    if folder.is_dir() and folder.is_relative_to(top):
        return folder
    raise UsageError(f"{project} is no folder of the repository {top}. Give one with --project.")


def _drive(
    run: Run,
    settings: Settings,
    model: Model,
    repository: Path,
    issue: str,
    on_event: Callable[[Event], None] | None,
) -> Result:
    """Run the graph to its end; what ends it early becomes a named result."""
    if on_event:
        run.listen(on_event)
    workspace = Workspace(run, settings, repository)
    session = Session(run, settings, model, workspace, issue)
    reason, error = ExitReason.INTERNAL_ERROR, ""
    try:
        _invoke(session)
    except SandboxError as problem:
        reason, error = ExitReason.SANDBOX_ERROR, str(problem)
    except RunError as problem:
        reason, error = ExitReason.STORAGE_ERROR, str(problem)
    except KeyboardInterrupt:
        reason, error = ExitReason.CANCELLED, f"Stopped. Go on with: agent resume {run.id}"
    finally:
        workspace.close()
    try:
        for event in run.of_kind("run_finished"):
            return Result.model_validate(event.data["result"])
        return unfinished(session, reason, error)
    finally:
        run.close()


def _invoke(session: Session) -> None:
    """Run the graph from its start, or from its last checkpoint when it has one."""
    if not session.run.of_kind("run_finished"):
        _import_in_background()
        session.open()
    from langsmith.run_helpers import tracing_context

    from reapair.agent.graph import build

    config = {"configurable": {"thread_id": session.run.id}, "recursion_limit": RECURSION_LIMIT}
    checkpointer = _checkpointer(session.run.directory / "checkpoint.sqlite")
    try:
        # LangSmith would upload the state wherever the user's environment turns its tracing on.
        with tracing_context(enabled=False):
            begun = bool(session.run.of_kind("environment"))
            build(session, checkpointer).invoke(None if begun else {}, config, durability="sync")
    finally:
        checkpointer.conn.close()


def _checkpointer(file: Path) -> SqliteSaver:
    import sqlite3

    from langgraph.checkpoint.sqlite import SqliteSaver

    connection = sqlite3.connect(file, check_same_thread=False)
    # Survives kill -9; the event log is the truth after a power failure.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return SqliteSaver(connection)


def _import_in_background() -> None:
    """Load what is slow to import while the engine starts the container."""

    def load() -> None:
        import langgraph.checkpoint.sqlite  # noqa: F401
        import langgraph.graph  # noqa: F401
        import openai  # noqa: F401

    threading.Thread(target=load, daemon=True).start()
