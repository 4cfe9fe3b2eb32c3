"""Several attempts at one issue, side by side, and the hand-over of the best.

prepare ──► attempt × N ──► choose ──► finish

Each attempt is a run of its own, `<run-id>.<k>`, with its own log, sandbox, seed and temperature.
They share the snapshot, the environment, the baseline and every byte of the first prompt. This
graph keeps no checkpoint: its own log and those of the attempts say what is done, so that any node
may run again.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypedDict

from reapair.agent.attempts.selection import Entry, choose, is_good_enough
from reapair.agent.log.event_log import Run, RunError, digest
from reapair.agent.log.formats import Verification
from reapair.agent.log.redaction import secrets_of
from reapair.agent.log.turns import finished
from reapair.agent.loop.cancel import Cancel
from reapair.agent.loop.finish import finish, unfinished
from reapair.agent.loop.session import Session
from reapair.agent.model.request import profile
from reapair.agent.model.types import ModelError
from reapair.agent.result import INFRASTRUCTURE, Choice, ExitReason, Result, Totals
from reapair.agent.workspace.workspace import Workspace, last_patch
from reapair.sandbox import SandboxError
from reapair.sandbox.git.repository import GitStore

if TYPE_CHECKING:
    from pathlib import Path

    from reapair.agent.log.events import Event
    from reapair.agent.model.types import Capacity, Model, SharedModel

HOTTER = (0.0, 0.1, 0.2, 0.3)
"""What is added to the model's usual temperature (GLM: 0.7, at most 1.0), attempt by attempt."""

_SEEDS_APART = 1000  # Resamples count a seed up, and must not meet the next attempt's.


class State(TypedDict, total=False):
    """What an attempt's node is told: its number, from 1."""

    number: int


def seed_of(attempt: int) -> int:
    """Return the seed that an attempt's first sample is drawn with."""
    return 1 + _SEEDS_APART * (attempt - 1)


@dataclass
class Attempts:
    """The attempts of one run.

    Args:
        session: the whole run's; its `part` is "choice".
        drive: brings one session to its end.
        model: holds the conversations of all attempts.
        on_event: called with every event of every attempt, one at a time.
    """

    session: Session
    drive: Callable[[Session], Result]
    model: SharedModel
    on_event: Callable[[Event], None] | None = None
    _capacity: Capacity = field(init=False)
    _slots: SimpleQueue[int] = field(default_factory=SimpleQueue)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _live: dict[int, Session] = field(default_factory=dict)
    _results: dict[int, Result] = field(default_factory=dict)
    _patches: dict[int, bytes] = field(default_factory=dict)
    _failures: list[tuple[ExitReason, str]] = field(default_factory=list)
    _used: int = 0
    _superseded: bool = False
    _failure: BaseException | None = None

    def run(self) -> None:
        """Run them to their end, choose, hand over; goes on where an earlier life has stopped.

        Raises Stopped when the run was asked to stop, SandboxError, RunError or RuntimeError when
        no attempt could come to an end.
        """
        session = self.session
        self._capacity = self.model.capacity(session.settings.attempts)
        for slot in range(self._capacity.conversations):
            self._slots.put(slot)
        session.spent = self._spent
        session.cancel.on_request(self._stop)
        # LangGraph waits for all attempts before it lets Ctrl-C through; this thread does not.
        worker = threading.Thread(target=self._run_graph, daemon=True)
        worker.start()
        try:
            worker.join()
        except BaseException:
            session.cancel.request()
            worker.join()
            raise
        if self._failure:
            raise self._failure

    def _run_graph(self) -> None:
        from langsmith.run_helpers import tracing_context

        at_once = self._capacity.conversations
        try:
            with tracing_context(enabled=False):
                self._graph().invoke({}, {"max_concurrency": at_once})
        except BaseException as error:
            self._failure = error

    def _graph(self) -> Any:
        from langgraph.graph import END, START, StateGraph
        from langgraph.types import Send

        def fan_out(state: State) -> Any:  # noqa: ARG001
            numbers = range(1, self.session.settings.attempts + 1)
            return [Send("attempt", {"number": number}) for number in numbers]

        graph = StateGraph(State)
        graph.add_node("prepare", self._prepare)
        graph.add_node("attempt", self._attempt)
        graph.add_node("choose", self._choose)
        graph.add_node("finish", self._finish)
        graph.add_edge(START, "prepare")
        graph.add_conditional_edges("prepare", fan_out, ["attempt"])
        graph.add_edge("attempt", "choose")
        graph.add_edge("choose", "finish")
        graph.add_edge("finish", END)
        return graph.compile()

    def _prepare(self, state: State) -> State:  # noqa: ARG002
        session, run = self.session, self.session.run
        session.open()
        if not run.of_kind("environment"):
            run.append("environment", **session.workspace.prepared.facts)
        wanted, at_once = session.settings.attempts, self._capacity.conversations
        session.say("attempts", f"{wanted}, {min(wanted, at_once)} at once")
        return {}

    def _attempt(self, state: State) -> State:
        slot = self._slots.get()
        try:
            # An empty context: LangGraph would take the attempt's graph for a part of this one.
            contextvars.Context().run(self._one, state["number"], slot)
        except RunError as problem:
            self._failed(ExitReason.STORAGE_ERROR, str(problem))
        finally:
            self._slots.put(slot)
        return {}

    def _one(self, number: int, slot: int) -> None:
        """Bring one attempt to its end, or find it there."""
        whole, place = self.session, self._place(number)
        too_late = self._superseded or (number > 1 and whole.limit(0))
        if self._chosen() or whole.cancel.requested or (too_late and not place.exists()):
            return
        with closing(Run(place, place.name)) as run:
            run.hide(secrets_of(whole.settings))
            if self.on_event:
                run.listen(self.on_event)
            if result := finished(run.events):
                self._results[number] = Result.model_validate(result)
                self._used += _tokens(self._results[number].usage)
            else:
                self._work(run, number, slot)
            self._patches[number] = patch = last_patch(run)
        done = self._results.get(number)
        if done and whole.settings.early_stop and is_good_enough(done.verdict, patch):
            self._supersede()

    def _work(self, run: Run, number: int, slot: int) -> None:
        with self._at_work(run, number, slot) as session:
            try:
                if not self._superseded:
                    result = self.drive(session)
            except Exception as problem:  # The other attempts go on.
                result = unfinished(session, ExitReason.INTERNAL_ERROR, repr(problem))
            if self._superseded and not finished(run.events):
                steps = max((event.step for event in run.of_kind("tool_result")), default=0)
                result = finish(session, ExitReason.SUPERSEDED, steps=steps)
            if run.of_kind("run_finished"):
                self._results[number] = result
            elif not self.session.cancel.requested:
                self._failed(result.exit_reason, result.error)

    @contextmanager
    def _at_work(self, run: Run, number: int, slot: int) -> Iterator[Session]:
        """Yield the session of an attempt, known to those who may have to end it."""
        whole = self.session
        alone = {"attempts": 1, "patch": None, "apply": False}
        settings = whole.settings.model_copy(update=alone)
        model = self._model(number, slot)
        workspace = Workspace(run, settings, whole.workspace.repository, whole.workspace)
        session = Session(
            run,
            settings,
            model,
            workspace,
            whole.issue,
            Cancel(),
            whole.started,
            part="attempt",
            spent=self._spent,
            own_tools=whole.own_tools,
            guided=whole.guided,
            drives=whole.drives,
        )
        with self._lock:
            self._live[number] = session
        if whole.cancel.requested:
            session.cancel.request()
        try:
            yield session
        finally:
            with self._lock:
                del self._live[number]
                self._used += _tokens(session.totals())

    def _model(self, number: int, slot: int) -> Model:
        """Return the client of one attempt: what is the same in all of them stays the same."""
        server = self.model.server
        usual = profile(server.family or server.model).temperature
        hotter = HOTTER[(number - 1) % len(HOTTER)]
        overrides: dict[str, Any] = {"temperature": round(min(usual + hotter, 1.0), 2)}
        if self._capacity.pinned:
            overrides["id_slot"] = slot
        context = self._capacity.context_tokens
        return self.model.another(seed=seed_of(number), context_tokens=context, overrides=overrides)

    def _spent(self) -> int:
        """Return the tokens that all attempts have used."""
        with self._lock:
            return self._used + sum(_tokens(each.totals()) for each in self._live.values())

    def _failed(self, reason: ExitReason, error: str) -> None:
        """Note what kept an attempt from its end; the others go on."""
        self._failures.append((reason, error))
        self.session.say("attempts", f"one has failed: {error}")

    def _stop(self) -> None:
        """Ask all attempts to stop; they can go on later."""
        for session in list(self._live.values()):
            session.cancel.request()

    def _supersede(self) -> None:
        """End the other attempts and wait until they are."""
        self._superseded = True
        while live := list(self._live.values()):
            for session in live:
                session.superseded = True
                session.cancel.request()
                session.workspace.close()
                # Again and again: an attempt may just be about to send a request.
                session.model.cancel()
            time.sleep(0.1)

    def _choose(self, state: State) -> State:  # noqa: ARG002
        """Put the best attempt's change, its evidence and the choice into the run's own log."""
        session, run = self.session, self.session.run
        session.cancel.check()
        if self._chosen():
            return {}
        entries = [
            Entry(number, result, self._patches[number])
            for number, result in sorted(self._results.items())
            if result.exit_reason not in INFRASTRUCTURE or self._patches[number].strip()
        ]
        if not entries:
            raise self._problem()
        session.say("attempts", "choosing")
        left = session.settings.max_minutes * 60 - (time.monotonic() - session.started)
        store = GitStore(run.directory / "store", session.workspace.repository)
        choice = choose(entries, session.workspace, store, seconds=left)
        best = next(entry for entry in entries if entry.attempt == choice.attempt)
        session.workspace.keep(best.patch, best.result.steps)
        run.append(
            "verification",
            best.result.steps,
            patch=digest(best.patch),
            evidence=best.result.evidence.model_dump(mode="json"),
            choice=choice.model_dump(mode="json"),
        )
        return {}

    def _finish(self, state: State) -> State:  # noqa: ARG002
        choice = self._chosen()
        assert choice is not None  # noqa: S101 - the node before has made it
        file = self._place(choice.attempt) / "result.json"
        best = Result.model_validate_json(file.read_bytes())
        finish(
            self.session,
            best.exit_reason,
            steps=best.steps,
            summary=best.summary,
            error=best.error,
            choice=choice,
        )
        return {}

    def _place(self, number: int) -> Path:
        run = self.session.run
        return run.directory.with_name(f"{run.id}.{number}")

    def _chosen(self) -> Choice | None:
        for event in self.session.run.of_kind("verification"):
            if choice := event.read(Verification).choice:
                return Choice.model_validate(choice)
        return None

    def _problem(self) -> Exception:
        """Return what kept every attempt from coming to an end."""
        ends = [(result.exit_reason, result.error) for result in self._results.values()]
        reason, error = [*self._failures, *ends][0]
        kinds = {
            ExitReason.SANDBOX_ERROR: SandboxError,
            ExitReason.STORAGE_ERROR: RunError,
            ExitReason.MODEL_ERROR: ModelError,
        }
        return kinds.get(reason, RuntimeError)(f"No attempt came to an end. {error}")


def _tokens(totals: Totals) -> int:
    return totals.prompt_tokens + totals.completion_tokens
