"""How full the context is, and making room in it before the server has to refuse; steps left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from reapair.agent.log.formats import Compaction, Response, ToolResult
from reapair.agent.loop.compaction import plan
from reapair.agent.model.types import Outcome, RequestOptions
from reapair.tools.code.map import TOKENS as MAP_TOKENS
from reapair.tools.observation import OBSERVATION_LIMIT

if TYPE_CHECKING:
    from reapair.agent.log.events import Event
    from reapair.agent.loop.session import Session
    from reapair.agent.model.types import Message, Server

COMPACT_TOKENS = 64_000
"""Prompt tokens that make us compact even where the server has room for more: successful runs of
small models stay far below, and their tool calls get worse beyond (GLM-4.7-Flash: arXiv 2602.16069,
2607.05378)."""

OUTPUT_TOKENS = 16_384
"""Room kept for an answer, or a quarter of a small context."""

NOTICE_STEPS = 3
"""In this many last steps every observation says how many are left."""

Reason = Literal["budget", "overflow", "loop"]


class Budget:
    """Watches the prompt of one run grow and compacts the conversation when it must.

    Between exact counts it reckons: what the server told of the last request, and at most a token
    for each two bytes since. So the server is asked only when the limit is near.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lowered: int | None = None
        self._told: int | None = None
        self._since = 0
        session.run.listen(self._follow)

    @property
    def _limit(self) -> int | None:
        """Tokens that the prompt may have; some servers tell their context only when asked."""
        known = (self._lowered, prompt_limit(self._session.model.server))
        return min((limit for limit in known if limit is not None), default=None)

    @property
    def observation_bytes(self) -> int:
        """What one observation may take: an eighth of a small context, at three bytes a token."""
        if self._limit is None:
            return OBSERVATION_LIMIT
        return min(OBSERVATION_LIMIT, max(1_000, self._limit * 3 // 8))

    @property
    def issue_bytes(self) -> int:
        """What the issue's text may take: a quarter of the context, at three bytes a token."""
        return (self._limit or 32_000) * 3 // 4

    @property
    def map_tokens(self) -> int:
        """What the repository map may take: a sixteenth of a small context."""
        return min(MAP_TOKENS, (self._limit or 16 * MAP_TOKENS) // 16)

    def ensure(self, step: int) -> None:
        """Compact if the next prompt would be over the limit."""
        if self._limit is None or not self._session.history.messages:
            return
        if self._told is not None and self._told + self._since // 2 <= self._limit:
            return
        counted = self._count(self._session.history.messages)
        if counted > self._limit:
            self.compact("budget", step)
        else:
            self._told, self._since = counted, 0

    def compact(self, reason: Reason, step: int) -> None:
        """Make room now and log it; half of the limit is free afterwards."""
        session = self._session
        messages = session.history.messages
        before = self._count(messages)
        if reason == "overflow":
            # The server has less room than it said, or we counted too low.
            self._lowered = min(self._limit or before, before) * 9 // 10
        made = plan(
            messages,
            session.run.events,
            (self._limit or before) // 2,
            count=self._count,
            summarise=lambda: self._summarise() if reason == "budget" else "",
            diff=lambda: session.workspace.recorded_patch().decode("utf-8", "replace"),
            looping=reason == "loop",
            prompts=session.prompts,
        )
        after = self._count(made.apply(messages))
        session.run.append(
            "compaction", step, reason=reason, before=before, after=after, plan=asdict(made)
        )

    def _summarise(self) -> str:
        """Ask the model for a summary; it is no step, and "" when anything else comes back."""
        session = self._session
        request = {"role": "user", "content": session.prompts.render("summarise")}
        answer = session.with_deadline(
            lambda: session.model.ask(
                [*session.history.messages, request],
                session.tools.schemas,
                RequestOptions(thinking=False, max_tokens=2_048),
            )
        )
        return answer.content if answer.outcome is Outcome.FINAL_TEXT else ""

    def _count(self, messages: Sequence[Message]) -> int:
        return self._session.model.count(messages, self._session.tools.schemas)

    def _follow(self, event: Event) -> None:
        if event.kind == "response":
            usage = event.read(Response).usage
            if usage["prompt_tokens"] is not None:
                self._told = int(usage["prompt_tokens"] + (usage["completion_tokens"] or 0))
                self._since = 0
        elif event.kind == "tool_result":
            self._since += len(event.read(ToolResult).content.encode("utf-8", "replace"))
        elif event.kind == "compaction":
            self._told, self._since = event.read(Compaction).after, 0


def prompt_limit(server: Server) -> int | None:
    """Return how many tokens a prompt may have; None when the server does not say its context."""
    if server.context_tokens is None:
        return None
    reserved = min(OUTPUT_TOKENS, server.context_tokens // 4)
    return min(server.context_tokens - reserved, COMPACT_TOKENS)


def budget_notice(step: int, max_steps: int) -> str:
    """Return what an observation of this step says about the steps left; mostly nothing.

    A count in the middle of the conversation never changes later, so it costs no prompt cache.
    """
    left = max_steps - step
    if step == max_steps // 2:
        return f"\n[{left} of {max_steps} steps left. Make the edit now if you have not.]"
    if step == max_steps * 4 // 5:
        return f"\n[{left} of {max_steps} steps left. Finish and submit soon.]"
    if left <= NOTICE_STEPS:
        return f"\n[{left} steps left. Submit now: what is in the tree at the end is taken.]"
    return ""
