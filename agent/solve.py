"""From an issue to a result: connects the parts and runs the graph."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reapair.agent.guided.strategy import choose_strategy
from reapair.agent.handover.git_handover import is_branch_name
from reapair.agent.log.conversation import messages_of
from reapair.agent.log.event_log import Run, RunError, remove
from reapair.agent.log.events import Event, one_at_a_time
from reapair.agent.log.formats import RunFinished, RunStarted
from reapair.agent.log.redaction import secrets_of
from reapair.agent.log.turns import finished
from reapair.agent.loop.cancel import Cancel, Stopped
from reapair.agent.loop.finish import unfinished
from reapair.agent.loop.resume import follow_log, instruct
from reapair.agent.loop.session import Session
from reapair.agent.model.connect import connect
from reapair.agent.model.types import Model, SharedModel
from reapair.agent.result import ExitReason, Result
from reapair.agent.settings.settings import Settings
from reapair.agent.settings.sources import load_settings
from reapair.agent.workspace.workspace import Workspace
from reapair.prompts import Prompts, PromptsError
from reapair.sandbox import SandboxError
from reapair.sandbox.callers_engine import CallersEngine
from reapair.sandbox.gateway.addresses import public_url
from reapair.sandbox.git.repository import Repository
from reapair.sandbox.git.run_git import GitError
from reapair.sandbox.secrets import HIDDEN
from reapair.tools import Tool

if TYPE_CHECKING:
    from reapair.agent.handover.port import OpenPullRequest
    from reapair.sandbox import Engine, Sandbox

RECURSION_LIMIT = 1_000_000
"""LangGraph's own limit counts supersteps; ours counts steps and ends runs by name."""


class UsageError(Exception):
    """The user asked for something that cannot be. The message says what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a run is to do, and with what; see the arguments of `solve` and `resume`."""

    issue: str
    repository: Path
    settings: Settings
    model: Model
    on_event: Callable[[Event], None] | None
    cancel: Cancel
    instruction: str | None = None
    tools: Sequence[Tool[Any]]
    engine: Engine | None
    open_pull_request: OpenPullRequest | None


def solve(
    issue: str,
    repository: Path | str = ".",
    settings: Settings | None = None,
    *,
    model: Model | None = None,
    on_event: Callable[[Event], None] | None = None,
    cancel: Cancel | None = None,
    tools: Sequence[Tool[Any]] = (),
    make_sandbox: Callable[[], Sandbox] | None = None,
    engine: Engine | None = None,
    open_pull_request: OpenPullRequest | None = None,
) -> Result:
    """Solve one issue.

    Args:
        issue: its text.
        repository: a directory inside a git repository; only read, until the hand-over.
        settings: default: `load_settings(repository)`.
        model: a client of your own; default: the one that `settings` name.
        on_event: called with every event as it happens, from the thread that made it.
        cancel: stops the run from another thread; it can be resumed.
        tools: of your own, made with `reapair.tools.tool`; offered after the built-in ones.
        make_sandbox: returns another sandbox of your own each time, with all that the tests need;
            default: those of the engine that `settings` name.
        engine: an engine of your own, in place of `make_sandbox`.
        open_pull_request: opens the pull request that `settings.pr` asks for.

    Returns the result, whatever became of the issue. Raises SettingsError, UsageError, ModelError
    (no server) and RunError (no place to keep the run) before anything has happened.
    """
    settings = settings or load_settings(repository)
    top = repository_top(Path(repository))
    project = project_folder(Path(repository), settings.project)
    settings = settings.model_copy(update={"project": project})
    if not issue.strip():
        raise UsageError("The issue is empty. Give its text, a file, or - for standard input.")
    _check_prompts(settings)
    if isinstance(settings.branch, str) and not is_branch_name(top, settings.branch):
        raise UsageError("--branch: git takes no branch of that name. Give one like fix/parser.")
    model = model or connect(settings)
    request = RunRequest(
        issue=issue,
        repository=top,
        settings=settings,
        model=model,
        on_event=on_event,
        cancel=cancel or Cancel(),
        tools=tools,
        engine=CallersEngine(make_sandbox) if make_sandbox else engine,
        open_pull_request=open_pull_request,
    )
    run = Run.create(settings.runs)
    try:
        with closing(run):
            result = _drive(run, request)
            if not settings.keep:
                result.remember(messages_of(result))
            return result
    finally:
        if not settings.keep:
            remove(run.directory)


def resume(
    run: Run,
    *,
    instruction: str | None = None,
    changes: Mapping[str, Any] | None = None,
    model: Model | None = None,
    on_event: Callable[[Event], None] | None = None,
    cancel: Cancel | None = None,
    tools: Sequence[Tool[Any]] = (),
    make_sandbox: Callable[[], Sandbox] | None = None,
    open_pull_request: OpenPullRequest | None = None,
) -> Result:
    """Go on with a run that was stopped or killed; a finished one only gives its result again.

    Args:
        run: opened by its id; closed afterwards.
        instruction: what the user says next, also to a run that is finished: it goes on with the
            same conversation and tree, and with its limits anew.
        changes: settings to go on with in place of those that the run was started with. Keys and
            headers are never stored: a server that wants them needs `api_key` and `headers` here.
        model: a client of your own; default: the server that the run used.
        on_event: called with every event as it happens.
        cancel: stops the run from another thread.
        tools, make_sandbox, open_pull_request: those that the run was started with.

    Raises UsageError when the run ended before it began or had other tools, ModelError when its
    server is gone.
    """
    with closing(run):
        started = run.of_kind("run_started")
        if not started:
            raise UsageError(
                f"Run {run.id} was stopped before it began. Start it again with solve."
            )
        if instruction is not None:
            _check_instruction(run, instruction)
        elif result := finished(run.events):
            return Result.model_validate(result)
        facts = started[0].data
        settings = _settings_now(facts["settings"], changes or {})
        _check_prompts(settings)
        request = RunRequest(
            issue=facts["issue"],
            repository=Path(facts["repository"]),
            settings=settings,
            model=model or connect(settings),
            on_event=on_event,
            cancel=cancel or Cancel(),
            instruction=instruction,
            tools=tools,
            engine=CallersEngine(make_sandbox) if make_sandbox else None,
            open_pull_request=open_pull_request,
        )
        return _drive(run, request)


def _check_prompts(settings: Settings) -> None:
    try:
        Prompts(settings.prompts)
    except PromptsError as error:
        raise UsageError(str(error)) from None


def _check_instruction(run: Run, instruction: str) -> None:
    if not instruction.strip():
        raise UsageError("The instruction is empty. Say what is to be done next.")
    attempts = run.events[0].read(RunStarted).settings["attempts"]
    if "." not in run.id and attempts > 1:
        raise UsageError(
            f"Run {run.id} made several attempts, each with a conversation of its own.\n"
            f'Continue one of them: agent continue {run.id}.1 "..."'
        )
    if not (run.of_kind("response") or run.of_kind("suspects")):
        raise UsageError(f"Run {run.id} has not begun to work. Go on with: agent resume {run.id}")


def _settings_now(stored: Mapping[str, Any], changes: Mapping[str, Any]) -> Settings:
    """Return the settings of a run that goes on: as stored, but for the changes."""
    # The environment's key may be for another server than the run's.
    given = {**stored, "api_key": None, **changes}
    if not changes.get("base_url"):
        given["base_url"] = _address(stored["base_url"])
    return Settings(**given)


def _address(stored: str | None) -> str | None:
    """Return the server's address; where a secret in it was not stored, the environment's."""
    if not stored or HIDDEN not in stored:
        return stored
    now = Settings().base_url
    if now and public_url(now) == stored:
        return now
    raise UsageError(f"A part of {stored} is secret and not stored. Give it with --base-url.")


def repository_top(directory: Path) -> Path:
    """Return the work tree that `directory` lies in. Raises UsageError when there is none."""
    try:
        if directory.is_dir():
            return Repository.find(directory).top
    except GitError:
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


def _drive(run: Run, request: RunRequest) -> Result:
    """Bring a run to its end and let the caller listen to it."""
    on_event, settings = request.on_event, request.settings
    if on_event and settings.attempts > 1:
        on_event = one_at_a_time(on_event)
    if on_event:
        run.listen(on_event)
    run.hide(secrets_of(settings))
    guided, drives = choose_strategy(settings, request.model)
    session = Session(
        run,
        settings,
        request.model,
        Workspace(run, settings, request.repository, engine=request.engine),
        request.issue,
        request.cancel,
        part="whole" if settings.attempts == 1 else "choice",
        own_tools=request.tools,
        open_pull_request=request.open_pull_request,
        guided=guided,
        drives=drives,
    )
    _check_tools(session)
    if settings.attempts == 1:
        return _bring_to_end(session, lambda: _invoke(session, request.instruction))
    from reapair.agent.attempts.attempts import Attempts

    if not isinstance(request.model, SharedModel):
        raise UsageError("A model of your own holds one conversation: it makes one attempt.")
    attempts = Attempts(session, _one_attempt, request.model, on_event)
    return _bring_to_end(session, attempts.run)


def _check_tools(session: Session) -> None:
    """Raise UsageError where the run was started with other tools: its log speaks of those."""
    for event in session.run.of_kind("run_started"):
        known = {entry["function"]["name"]: entry for entry in event.read(RunStarted).tools}
        now = {entry["function"]["name"]: entry for entry in session.tools.schemas}
        other = [name for name in {**known, **now} if known.get(name) != now.get(name)]
        if other:
            raise UsageError(
                f"Run {session.run.id} was started with other tools; these differ: "
                f"{', '.join(other)}. Give resume the same tools=[...], in the same version of "
                "this program, or start again with solve."
            )


def _one_attempt(session: Session) -> Result:
    return _bring_to_end(session, lambda: _invoke(session))


def _bring_to_end(session: Session, work: Callable[[], None]) -> Result:
    """Do the work of a run; what ends it early becomes a named result."""
    run, workspace = session.run, session.workspace
    for stop in (session.model.cancel, workspace.close):
        session.cancel.on_request(stop)
    earlier = len(run.of_kind("run_finished"))
    reason, error = ExitReason.INTERNAL_ERROR, ""
    try:
        work()
    except (Exception, KeyboardInterrupt) as problem:
        reason, error = _name(problem, session)
    finally:
        workspace.close()
    for event in run.of_kind("run_finished")[earlier:]:
        return Result.model_validate(event.read(RunFinished).result)
    session.save_prompt()
    return unfinished(session, reason, error)


def _name(problem: BaseException, session: Session) -> tuple[ExitReason, str]:
    """Return the exit reason for what ended a run, and words; raise what has no name."""
    if session.cancel.requested or isinstance(problem, (Stopped, KeyboardInterrupt)):
        reason, words = ExitReason.CANCELLED, "Stopped."
    elif isinstance(problem, (RunError, sqlite3.Error)) or _is_full(problem):
        reason, words = ExitReason.STORAGE_ERROR, session.run.redacted(str(problem))
    elif isinstance(problem, SandboxError):
        reason, words = ExitReason.SANDBOX_ERROR, session.run.redacted(str(problem))
    else:
        raise problem
    if session.run.of_kind("run_started") and session.settings.keep:
        words += f" Go on with: agent resume {session.run.id}"
    return reason, words


def _is_full(problem: BaseException) -> bool:
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
    if isinstance(problem, OSError) and problem.errno in full:
        return True
    return any(os.strerror(number) in str(problem) for number in full)


def _invoke(session: Session, instruction: str | None = None) -> None:
    """Run the graph from its start, or from where the run stands."""
    if instruction:
        instruct(session, instruction)
    _import_in_background()
    session.open()
    from langchain_core.runnables.config import var_child_runnable_config
    from langsmith.run_helpers import tracing_context

    from reapair.agent.guided.stages import Stages
    from reapair.agent.loop.checkpoint import checkpointer_in
    from reapair.agent.loop.graph import build

    config = {"configurable": {"thread_id": session.run.id}, "recursion_limit": RECURSION_LIMIT}
    checkpointer = checkpointer_in(session.run.private_file("checkpoint.sqlite"))
    # In a graph of the caller's, LangGraph would take this one for a part of it.
    outer = var_child_runnable_config.set(None)
    try:
        # LangSmith would upload the state wherever the user's environment turns its tracing on.
        with tracing_context(enabled=False):
            graph = build(session, checkpointer, lambda nodes: Stages(session, nodes.prove).nodes)
            begun = bool(session.run.of_kind("environment"))
            if begun:
                follow_log(graph, config, session)
            graph.invoke(None if begun else {}, config, durability="sync")
    finally:
        var_child_runnable_config.reset(outer)
        checkpointer.conn.close()


def _import_in_background() -> None:
    """Load what is slow to import while the engine starts the container."""

    def load() -> None:
        import langgraph.checkpoint.sqlite
        import langgraph.graph  # noqa: F401
        import openai  # noqa: F401

    threading.Thread(target=load, daemon=True).start()
