"""What the nodes of the graph work with: one run's log, model, tools and sandboxes."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from reapair.agent.handover.delivery import Delivery
from reapair.agent.log import formats
from reapair.agent.log.conversation import Conversation
from reapair.agent.log.event_log import digest
from reapair.agent.log.turns import steps_before, turn_start
from reapair.agent.loop.cancel import Cancel
from reapair.agent.model.types import CachingModel
from reapair.agent.result import Evidence, ExitReason, Totals
from reapair.prompts import Prompts
from reapair.sandbox.gateway.addresses import public_url
from reapair.tools import Tool, Toolbox, profile_tools

if TYPE_CHECKING:
    from reapair.agent.handover.port import OpenPullRequest
    from reapair.agent.log.event_log import Run
    from reapair.agent.log.events import Event
    from reapair.agent.model.types import Message, Model
    from reapair.agent.settings.settings import Settings
    from reapair.agent.workspace.workspace import Workspace
    from reapair.sandbox import Sandbox

T = TypeVar("T")

_CANCEL_AGAIN_SECONDS = 0.2


@dataclass
class Session:
    """One run at work.

    `issue` is the text to solve; `started` is on the monotonic clock. Where several attempts are
    made, `part` says whether this is one of them or the choice between them, and `spent` returns
    the tokens that all of them have used; `superseded` says that another one has won. `own_tools`
    are the user's, offered after the profile's. `guided` says that guided solving comes
    before the loop, `drives` that the model makes tool calls, so that it can be left to decide.
    """

    run: Run
    settings: Settings
    model: Model
    workspace: Workspace
    issue: str
    cancel: Cancel = field(default_factory=Cancel)
    started: float = field(default_factory=time.monotonic)
    part: Literal["whole", "attempt", "choice"] = "whole"
    spent: Callable[[], int] | None = None
    superseded: bool = False
    own_tools: Sequence[Tool[Any]] = ()
    open_pull_request: OpenPullRequest | None = None
    guided: bool = False
    drives: bool = True

    def __post_init__(self) -> None:
        self._cache = self.model if isinstance(self.model, CachingModel) else None
        self.prompts = Prompts(self.settings.prompts)
        self.history = Conversation(self.run.events)
        self.run.listen(self.history.apply)
        self.tools = Toolbox(
            [
                *profile_tools(
                    self.settings.tools,
                    self.workspace.runner,
                    self.workspace.baseline,
                    self._change,
                ),
                *self.own_tools,
            ],
            self.workspace.sandbox,
        )
        start = turn_start(self.run.events)
        for event in self.run.of_kind("tool_result"):
            result = event.read(formats.ToolResult)
            # What was handed in before the user said more is reviewed again.
            if event.seq > start or result.name != "submit":
                self.tools.restore(result.name, result.data)

    def _change(self, sandbox: Sandbox) -> str:
        return self.workspace.snapshot.patch(sandbox).decode("utf-8", "replace")

    def open(self) -> None:
        """Begin the log and get the sandboxes ready, on the run's own snapshot if it has one."""
        if not self.run.of_kind("run_started"):
            self.run.append(
                "run_started",
                issue=self.issue,
                repository=str(self.workspace.repository),
                server=asdict(self.model.server)
                | {"base_url": public_url(self.model.server.base_url)},
                settings=self._settings_to_keep(),
                tools=self.tools.schemas,
            )
        if self.part != "attempt":
            for line in _announcements(self):
                self.say("model", line)
        self._read_ahead()
        if (call := self._interrupted_call()) is not None:
            self.workspace.roll_back(call)
        self.workspace.prepare(lambda line: self.say("environment", line))
        # The model's sandbox first: the first request waits for that one only.
        if self.part != "choice":
            self.workspace.sandbox()
        self.workspace.start_baseline()

    def _read_ahead(self) -> None:
        """Let the server read what is known of the prompt while the sandbox is made."""
        if self.drives and self.part != "choice" and self._cache:
            messages = self.history.messages or [opening(self.prompts, self.tools.names)]
            saved = self._saved_as if self.history.messages else None
            self._cache.read_ahead(messages, self.tools.schemas, saved)

    def save_prompt(self) -> None:
        """Let the server keep what it has read, for the next life of this run."""
        if self.history.messages and not self.superseded and self._cache:
            self._cache.save(self._saved_as)

    @property
    def _saved_as(self) -> str:
        return f"agent-{self.run.id}"

    def _interrupted_call(self) -> Event | None:
        """Return the intent of a call that may have changed files and has no result."""
        intents = self.run.of_kind("tool_intent")
        if not intents:
            return None
        last = intents[-1].read(formats.ToolIntent)
        unknown = self.history.interrupted(last.call_id) and self.tools.changes_files(last.name)
        return intents[-1] if unknown else None

    def say(self, phase: str, line: str) -> None:
        """Show people what takes its time."""
        self.run.append("progress", phase=phase, text=line)

    def delivery(self) -> Delivery:
        """Return the hand-over of this run."""
        return Delivery(
            self.run,
            self.settings,
            self.workspace,
            self.issue,
            self.model.server.model,
            self.open_pull_request,
        )

    def limit(self, step: int) -> ExitReason | None:
        """Return the limit that forbids another step, if one does."""
        if step - steps_before(self.run.events) >= self.settings.max_steps:
            return ExitReason.STEP_LIMIT
        if (
            self.settings.max_tokens
            and (self.spent or self._tokens_of_turn)() >= self.settings.max_tokens
        ):
            return ExitReason.TOKEN_LIMIT
        return ExitReason.TIME_LIMIT if self.seconds_left <= 0 else None

    @property
    def seconds_left(self) -> float:
        """What is left of the run's time; below 0 when it is over."""
        return self.settings.max_minutes * 60 - (time.monotonic() - self.started)

    def with_deadline(self, ask: Callable[[], T]) -> T:
        """Return what `ask` returns, closing the model's connections once the run's time is up.

        Raises Stopped when the run was asked to stop meanwhile: such an answer is not kept.
        """
        done = threading.Event()

        def watch() -> None:
            done.wait(max(self.seconds_left, 0.0))
            while not done.is_set():  # one request may have begun only after the first time
                self.model.cancel()
                done.wait(_CANCEL_AGAIN_SECONDS)

        threading.Thread(target=watch, daemon=True, name="deadline").start()
        try:
            answer = ask()
        finally:
            done.set()
        self.cancel.check()
        return answer

    def _settings_to_keep(self) -> dict[str, Any]:
        kept = self.settings.model_dump(mode="json", exclude={"api_key", "headers"})
        if self.settings.base_url:
            kept["base_url"] = public_url(self.settings.base_url)
        return kept

    def _tokens_of_turn(self) -> int:
        """Add up prompts and answers since the user's last words."""
        return sum(
            int((usage["prompt_tokens"] or 0) + (usage["completion_tokens"] or 0))
            for event in self.run.events[turn_start(self.run.events) :]
            if event.kind in ("response", "discarded", "answer")
            for usage in [event.read(formats.Answered).usage]
        )

    def evidence(self, patch: bytes) -> Evidence | None:
        """Return what the proof said of exactly this patch on the run's own snapshot, if it did."""
        for event in reversed(self.run.of_kind("verification")):
            seen = event.read(formats.Verification)
            if seen.patch == digest(patch):
                return Evidence.model_validate(seen.evidence)
        return None

    def totals(self) -> Totals:
        """Add up what all requests of the run cost."""
        totals = Totals()
        for event in self.run.events:
            if event.kind in ("response", "discarded", "answer"):
                totals.add(event.read(formats.Answered).usage)
        return totals


def opening(prompts: Prompts, tools: Sequence[str]) -> Message:
    """Return the message that every conversation with tools of these names begins with."""
    return {"role": "system", "content": prompts.render("system", tools=tools)}


def _announcements(session: Session) -> list[str]:
    """Return lines on the server, if nobody named one, and on code that leaves the machine."""
    server = session.model.server
    lines = []
    if session.settings.base_url is None:
        lines.append(f"found {server.kind} at {server.base_url}")
    host = urlsplit(server.base_url).hostname or ""
    if not _is_this_machine(host):
        lines.append(f"code leaves this machine for {host}")
    return lines


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
