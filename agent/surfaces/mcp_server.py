"""An MCP server on standard input and output: another assistant hands an issue over to this one.

Runs work in threads; the server only starts, watches and stops them. A run that is stopped, by a
cancelled call or by the end of the server, is kept and can be continued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ToolError
from mcp.shared.exceptions import MCPError

from reapair.agent.handover.git_handover import apply_to_work_tree
from reapair.agent.handover.port import HandoverError
from reapair.agent.log.event_log import Run, RunError, read_events
from reapair.agent.log.events import Event
from reapair.agent.log.formats import Progress, RunStarted, ToolIntent
from reapair.agent.log.listing import find, is_held
from reapair.agent.log.turns import finished
from reapair.agent.loop.cancel import Cancel
from reapair.agent.model.types import ModelError
from reapair.agent.result import Result
from reapair.agent.settings.settings import Settings
from reapair.agent.settings.sources import SettingsError, load
from reapair.agent.solve import UsageError
from reapair.agent.surfaces.api import Agent
from reapair.agent.surfaces.doctor import diagnose
from reapair.agent.surfaces.report import FILE_NAME, write_report
from reapair.agent.words.run_words import call, evidence
from reapair.agent.words.terminal_safe import one_line
from reapair.sandbox import SandboxError

MOST_RUNS = 4
"""Runs at work at once: each wants a sandbox and a share of the model server."""

_EXPECTED = (HandoverError, ModelError, OSError, RunError, SandboxError, SettingsError, UsageError)
_INSTRUCTIONS = (
    "Hands an issue to a coding agent with a local model, which works in a sandbox on a copy of "
    "the repository and proves its patch. A run takes minutes; nothing in the repository changes "
    "before `apply`. Read the verdict: only `proved` means that a test failed before the patch and "
    "passes with it."
)


@dataclass
class _Work:
    """One run of this server: how to stop it, and what it did last."""

    cancel: Cancel = field(default_factory=Cancel)
    run_id: str = ""
    step: int = 0
    line: str = "starting"
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Worker:
    """The runs of one server.

    Args:
        roots: folders that repositories must lie in; none: those that the client names.
        given: settings that the command line sets for all runs.
    """

    def __init__(self, roots: list[Path], given: dict[str, Any] | None = None) -> None:
        self._roots = [root.resolve() for root in roots]
        self._given = given or {}
        self._at_work: dict[asyncio.Task[Result], _Work] = {}

    def settings(self, repository: Path | None, **given: Any) -> Settings:
        """Return the settings for a repository; nothing is handed over unless `apply` is called."""
        chosen = {name: value for name, value in given.items() if value is not None}
        return load(repository, {**self._given, **chosen, "branch": False}).settings

    async def repository(self, given: str, context: Context[Any, Any]) -> Path:
        """Return the repository's folder. Raises ToolError where it lies in no allowed folder."""
        place = Path(given).expanduser().resolve()
        roots = self._roots or await _client_roots(context)
        if not any(place.is_relative_to(root) for root in roots):
            allowed = ", ".join(map(str, roots)) or "none: start the server with --root FOLDER"
            raise ToolError(f"{place} is in no allowed folder. Allowed: {allowed}")
        return place

    async def run(
        self, context: Context[Any, Any], begin: Callable[[_Work, Callable[[Event], None]], Any]
    ) -> dict[str, Any]:
        """Bring a run to its end, with its progress as notifications; a cancelled call stops it."""
        if len(self._at_work) >= MOST_RUNS:
            raise ToolError(f"{MOST_RUNS} runs are at work. Wait for one of them, or cancel it.")
        work, loop = _Work(), asyncio.get_running_loop()

        def on_event(event: Event) -> None:
            work.run_id, work.step = event.run, max(work.step, event.step)
            work.line = _line(event) or work.line
            with suppress(RuntimeError):  # The loop is closed: the server has ended.
                loop.call_soon_threadsafe(work.changed.set)

        task = asyncio.ensure_future(begin(work, on_event))
        self._at_work[task] = work
        try:
            while not task.done():
                changed = asyncio.ensure_future(work.changed.wait())
                await asyncio.wait({task, changed}, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                work.changed.clear()
                await context.report_progress(work.step, None, f"run {work.run_id}: {work.line}")
            with _told():
                return result_of(await task)
        finally:
            work.cancel.request()
            task.cancel()
            self._at_work.pop(task, None)


def result_of(result: Result) -> dict[str, Any]:
    """Return a result for a program that reads JSON: verdict, its evidence in words, the patch."""
    return {
        "run_id": result.run_id,
        "status": result.status,
        "exit_reason": str(result.exit_reason),
        "verdict": str(result.verdict),
        "evidence": evidence(result),
        "summary": result.summary,
        "files": result.files,
        "patch": result.patch.encode("utf-8", "replace").decode(),
        "error": result.error or result.note,
    }


async def _client_roots(context: Context[Any, Any]) -> list[Path]:
    """Return the client's folders; the root of the file system is not accepted as one."""
    session = context.request_context.session
    declared = session.client_capabilities
    if declared is None or declared.roots is None:
        return []
    try:
        named = (await session.list_roots()).roots
    except (MCPError, ValueError):  # Newer versions of the protocol cannot ask.
        return []
    parts = [urlsplit(str(root.uri)) for root in named[:64]]
    local = [unquote(each.path) for each in parts if each.scheme == "file" and not each.netloc]
    found = [Path(path).resolve() for path in local if path.startswith("/") and "\0" not in path]
    return [path for path in found if path.is_dir() and path != Path(path.anchor)]


@contextmanager
def _told() -> Iterator[None]:
    """Turn what may be expected to fail into an answer; everything else is an internal error."""
    try:
        yield
    except _EXPECTED as error:
        raise ToolError(str(error)) from error


def _line(event: Event) -> str:
    """Return what an event means for somebody who watches; "" where it means nothing."""
    if event.kind == "tool_intent":
        intent = event.read(ToolIntent)
        return one_line(call(intent.name, intent.arguments), 160)
    if event.kind == "progress":
        return one_line(event.read(Progress).text, 160)
    return {"verification": "the patch was judged", "compaction": "context compacted"}.get(
        event.kind, ""
    )


def make_server(worker: Worker, *, allow_apply: bool) -> MCPServer[Any]:
    """Return the server with its tools and resources; `apply` is offered only where it may be."""
    server: MCPServer[Any] = MCPServer("reapair", instructions=_INSTRUCTIONS, log_level="ERROR")

    @server.tool()
    async def solve(
        issue: str,
        repository: str,
        context: Context[Any, Any],
        max_minutes: float | None = None,
        max_steps: int | None = None,
        test_command: str | None = None,
    ) -> dict[str, Any]:
        """Solve an issue in a repository and return verdict, evidence and patch.

        The first progress notification names the run. Cancelling the call stops the run, which
        can be continued by `continue_run`.
        """
        place = await worker.repository(repository, context)
        limits = {"max_minutes": max_minutes, "max_steps": max_steps, "test_command": test_command}
        with _told():
            agent = Agent(worker.settings(place, **limits))
        return await worker.run(
            context,
            lambda work, on_event: agent.asolve(
                issue, place, on_event=on_event, cancel=work.cancel
            ),
        )

    @server.tool()
    async def continue_run(
        run_id: str, context: Context[Any, Any], instruction: str | None = None
    ) -> dict[str, Any]:
        """Go on with a run that was stopped, or with one that is finished by a new instruction."""
        directory = await _directory(worker, run_id, context)
        with _told():
            run = Run(directory, directory.name)
        return await worker.run(
            context,
            lambda work, on_event: Agent().aresume(
                run, instruction=instruction, on_event=on_event, cancel=work.cancel
            ),
        )

    @server.tool()
    async def run_status(run_id: str, context: Context[Any, Any]) -> dict[str, Any]:
        """Return whether a run is at work, and its result once it has one."""
        directory = await _directory(worker, run_id, context)
        with _told():
            events = read_events(directory)
        if (result := finished(events)) and not is_held(directory):
            return result_of(Result.model_validate(result))
        state = "running" if is_held(directory) else "stopped"
        steps = max((event.step for event in events), default=0)
        return {"run_id": directory.name, "status": state, "steps": steps}

    @server.tool()
    async def patch(run_id: str, context: Context[Any, Any]) -> str:
        """Return a run's patch as a unified diff; it is empty where the run changed nothing."""
        directory = await _directory(worker, run_id, context)
        return _text(directory / "patch.diff")

    if allow_apply:

        @server.tool()
        async def apply(run_id: str, context: Context[Any, Any]) -> str:
            """Put a run's change into the work tree of the repository it came from."""
            directory = await _directory(worker, run_id, context)
            with _told():
                repository = Path(read_events(directory)[0].read(RunStarted).repository)
                apply_to_work_tree(repository, (directory / "patch.diff").read_bytes())
            return f"The change was applied to {repository}."

    @server.tool()
    async def doctor() -> list[dict[str, str]]:
        """Check the model server and the sandbox; each check that is not ok says what to mend."""
        with _told():
            checks = await asyncio.to_thread(lambda: list(diagnose(worker.settings(None))))
        return [asdict(check) for check in checks]

    @server.resource("run://{run_id}/report", mime_type="text/html")
    async def report(run_id: str, context: Context[Any, Any]) -> str:
        """The page of a run for people."""
        directory = await _directory(worker, run_id, context, ResourceError)
        if not (directory / FILE_NAME).is_file():
            await asyncio.to_thread(write_report, directory)
        return _text(directory / FILE_NAME)

    @server.resource("run://{run_id}/log", mime_type="application/jsonl")
    async def log(run_id: str, context: Context[Any, Any]) -> str:
        """The event log of a run, one JSON object a line."""
        return _text(await _directory(worker, run_id, context, ResourceError) / "events.jsonl")

    return server


async def _directory(
    worker: Worker,
    run_id: str,
    context: Context[Any, Any],
    refuse: type[Exception] = ToolError,
) -> Path:
    """Return the directory of a run whose repository the client may see."""
    try:
        directory = find(run_id, worker.settings(None).runs)
        events = read_events(directory)
        await worker.repository(events[0].read(RunStarted).repository if events else "/", context)
    except (*_EXPECTED, ToolError) as error:
        raise refuse(str(error)) from error
    return directory


def _text(file: Path) -> str:
    return file.read_bytes().decode("utf-8", "replace") if file.is_file() else ""
