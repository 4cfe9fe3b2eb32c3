"""For programs: an agent that is called from threads and event loops, and grades by one call."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from reapair.agent.lab.evaluate.grade import Grade, Grader
from reapair.agent.lab.evaluate.instances import Instance
from reapair.agent.log.event_log import Run
from reapair.agent.log.events import Event
from reapair.agent.loop.cancel import Cancel
from reapair.agent.model.types import Model
from reapair.agent.result import Result
from reapair.agent.settings.settings import Settings
from reapair.agent.settings.sources import load_settings
from reapair.agent.surfaces.report.reported import resume, solve
from reapair.sandbox import Sandbox
from reapair.tools import Tool

T = TypeVar("T")


class Agent:
    """Solves issues, several at once if asked from several threads or tasks.

    Args:
        settings: default: for each repository, `load_settings(repository)`.
        make_model: returns another client of your own for each run.
        make_sandbox: returns another sandbox of your own each time.
        tools: of your own; all runs share them.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        make_model: Callable[[], Model] | None = None,
        make_sandbox: Callable[[], Sandbox] | None = None,
        tools: Sequence[Tool[Any]] = (),
    ) -> None:
        self._settings = settings
        self._make_model = make_model
        self._make_sandbox = make_sandbox
        self._tools = tools

    def solve(
        self,
        issue: str,
        repository: Path | str = ".",
        *,
        on_event: Callable[[Event], None] | None = None,
        cancel: Cancel | None = None,
    ) -> Result:
        """Solve one issue in this thread; see `reapair.solve`."""
        return solve(
            issue,
            repository,
            self._settings or load_settings(repository),
            model=self._make_model() if self._make_model else None,
            on_event=on_event,
            cancel=cancel,
            tools=self._tools,
            make_sandbox=self._make_sandbox,
        )

    async def asolve(
        self,
        issue: str,
        repository: Path | str = ".",
        *,
        on_event: Callable[[Event], None] | None = None,
        cancel: Cancel | None = None,
    ) -> Result:
        """Solve one issue in a thread of its own while the event loop goes on.

        When the task that waits is cancelled, the run is stopped, and its end awaited. `on_event`
        is called in the run's thread.
        """
        cancel = cancel or Cancel()
        done = _in_thread(lambda: self.solve(issue, repository, on_event=on_event, cancel=cancel))
        return await _stopping(done, cancel)

    async def aresume(
        self,
        run: Run,
        *,
        instruction: str | None = None,
        on_event: Callable[[Event], None] | None = None,
        cancel: Cancel | None = None,
    ) -> Result:
        """Go on with a run in a thread of its own, as `asolve` does; see `reapair.resume`."""
        cancel = cancel or Cancel()
        model = self._make_model() if self._make_model else None
        done = _in_thread(
            lambda: resume(
                run,
                instruction=instruction,
                model=model,
                on_event=on_event,
                cancel=cancel,
                tools=self._tools,
                make_sandbox=self._make_sandbox,
            )
        )
        return await _stopping(done, cancel)

    def stream(self, issue: str, repository: Path | str = ".") -> Stream:
        """Solve one issue and give its events as they happen; call it from a coroutine."""
        return Stream(self, issue, repository)


class Stream:
    """The events of one run, to be iterated over, and its result.

    As an `async with` it stops the run when it is left. The events end with the run; what has kept
    it from beginning is raised by the iteration.
    """

    def __init__(self, agent: Agent, issue: str, repository: Path | str) -> None:
        loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._cancel = Cancel()

        def tell(event: Event | None) -> None:
            try:
                loop.call_soon_threadsafe(self._events.put_nowait, event)
            except RuntimeError:  # The loop is closed: nobody waits any more.
                self._cancel.request()

        def job() -> Result:
            try:
                return agent.solve(issue, repository, on_event=tell, cancel=self._cancel)
            finally:
                tell(None)

        self._done = _in_thread(job)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._events.get()
        if event is None:
            self._events.put_nowait(None)
            await asyncio.shield(self._done)
            raise StopAsyncIteration
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._cancel.request()
        await asyncio.wait([self._done])

    async def result(self) -> Result:
        """Wait for the end and return the result; stops the run when the waiting is cancelled."""
        return await _stopping(self._done, self._cancel)


def grade(instance: Instance, patch: str | bytes, settings: Settings | None = None) -> Grade:
    """Grade a patch by an instance's hidden tests, in a fresh sandbox.

    Args:
        instance: one of `read_instances(path)`.
        patch: a unified diff with `a/` and `b/`.
        settings: engine and limits; default: from the environment.

    Raises InstanceError when the instance's state can't be had, SandboxError for what is no fault
    of the patch.
    """
    data = patch.encode("utf-8", "surrogateescape") if isinstance(patch, str) else patch
    with tempfile.TemporaryDirectory(prefix="grade-", ignore_cleanup_errors=True) as place:
        grader = Grader(instance, Path(place) / "state", settings or Settings())
        return grader.grade(data)


def _in_thread(job: Callable[[], T]) -> asyncio.Future[T]:
    """Run a job in a thread of its own: an event loop's own few threads are not for hours."""
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    done: asyncio.Future[T] = loop.create_future()

    def settle(outcome: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            loop.call_soon_threadsafe(lambda: None if done.done() else outcome())

    def run() -> None:
        try:
            value = context.run(job)
        except BaseException as error:
            problem = error
            settle(lambda: done.set_exception(problem))
        else:
            settle(lambda: done.set_result(value))

    threading.Thread(target=run, name="reapair-run", daemon=True).start()
    return done


async def _stopping(done: asyncio.Future[T], cancel: Cancel) -> T:
    """Wait for a run; stop it, and wait for its end, when the waiting is cancelled."""
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        cancel.request()
        await asyncio.wait([done])
        if not done.cancelled():
            done.exception()  # Looked at, so that nobody complains that it was not.
        raise
