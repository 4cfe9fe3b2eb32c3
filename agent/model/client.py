"""The model client: one request in, one classified answer out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from reapair.agent.model import advice, counting, request
from reapair.agent.model.call_form import call_form
from reapair.agent.model.capacity import capacity
from reapair.agent.model.control_tokens import ControlTokens
from reapair.agent.model.exchange import Exchange
from reapair.agent.model.prompt_cache import Ahead
from reapair.agent.model.reply import StreamReader
from reapair.agent.model.servers import configured_context, detect
from reapair.agent.model.special_strings import special_strings
from reapair.agent.model.types import (
    Answer,
    Capacity,
    Message,
    ModelError,
    Outcome,
    Progress,
    RequestOptions,
    Server,
    Usage,
)

SILENT_CUTTERS = ("ollama", "lmstudio", "other")
"""Kinds of servers that may drop the start of a prompt that does not fit, and answer still."""

_TOLD_SECONDS = 30.0  # a server that does not even take its reading ahead is asked all the same

OnProgress = Callable[[Progress], None]


class Client:
    """Talks to one server; implements the `Model` protocol. One request at a time.

    Args:
        server: as found by `agent.model.servers.detect`.
        api_key: sent to this server only; None sends no key.
        max_tokens: limit of one answer; None takes the model's own setting.
        seed: of the first sample; resamples count up from it.
        overrides: fields of the request body to set, or to leave out with None.
        idle_seconds: how long the server may stay silent during an answer.
        headers: sent beside ours, to this server only.
    """

    def __init__(
        self,
        server: Server,
        *,
        api_key: str | None,
        max_tokens: int | None = None,
        seed: int = 1,
        overrides: Mapping[str, Any] | None = None,
        idle_seconds: float = 600.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._server = server
        self._api_key = api_key
        self._max_tokens = max_tokens
        self._seed = seed
        self._overrides = dict(overrides or {})
        self._idle_seconds = idle_seconds
        self._headers = dict(headers or {})
        self._exchange = Exchange(server, api_key, self._headers, idle_seconds)
        self._counter = counting.Counter(server)
        self._form: str | None = None
        self._control: ControlTokens | None = None
        self._rendering: request.Rendering | None = None
        self._asked_settings = self._asked_again = False
        self._before: Usage | None = None
        self._streams, self._stream_failed = True, False
        self._told = threading.Event()
        self._told.set()

    @property
    def server(self) -> Server:
        """The server behind it."""
        return self._server

    @property
    def refused(self) -> list[str]:
        """Optional fields that the server did not take; they are no longer sent."""
        return [field for field, value in self._overrides.items() if value is None]

    def capacity(self, wanted: int) -> Capacity:
        """Return how many of so many conversations the server can hold at once."""
        return capacity(self._server, wanted, api_key=self._api_key, headers=self._headers)

    def another(
        self, *, seed: int, context_tokens: int | None, overrides: Mapping[str, Any]
    ) -> Client:
        """Return a client for one more conversation with the same server.

        Args:
            seed: of its first sample.
            context_tokens: what that conversation may hold.
            overrides: as for a new client; what the server has refused stays away.
        """
        return Client(
            replace(self._server, context_tokens=context_tokens),
            api_key=self._api_key,
            max_tokens=self._max_tokens,
            seed=seed,
            overrides={**overrides, **self._overrides},
            idle_seconds=self._idle_seconds,
            headers=self._headers,
        )

    def read_ahead(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]], saved: str | None = None
    ) -> None:
        """Let the server read the start of the prompt in the background; never an error.

        Args:
            messages: what the next request begins with.
            tools: as in that request.
            saved: name of what an earlier life of the run has saved.
        """
        ahead = Ahead(self._server, self._api_key, self._headers)

        def read() -> None:
            try:
                slot = self._overrides.get("id_slot")
                if slot is None and "id_slot" not in self._overrides:
                    slot = ahead.idle_slot()
                    if slot is not None:
                        self._overrides["id_slot"] = slot
                if saved and slot is not None:
                    ahead.restore(slot, saved)
                ahead.read(messages, tools, slot, self._render, self._told.set)
            finally:
                self._told.set()

        # Were the first request there before it, the server would forget that one again.
        self._told.clear()
        threading.Thread(target=read, daemon=True, name="read-ahead").start()

    def save(self, name: str) -> None:
        """Keep what the server has read for this conversation, where it can; never an error."""
        slot = self._overrides.get("id_slot")
        if slot is not None:
            Ahead(self._server, self._api_key, self._headers).save(slot, name)

    def ask(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],
        options: RequestOptions,
        on_progress: OnProgress | None = None,
    ) -> Answer:
        """Send one request and classify what comes back. Never raises for what a server does."""
        self._exchange.hangup.reset()
        self._told.wait(_TOLD_SECONDS)
        if self._server.kind == "ollama" and self._server.context_tokens is None:
            self._ask_settings()
        if self._server.kind in SILENT_CUTTERS and self._is_too_long(messages, tools):
            return self._would_be_cut("is longer than the context: this server would cut it")
        streams = self._streams and request.can_stream(self._server)
        options = replace(options, stream=options.stream and streams)
        first = not self._stream_failed
        answer = self._taken(messages, tools, options, on_progress)
        if answer.outcome is Outcome.EMPTY and options.stream and options.rescue and first:
            # Some servers lose in a stream what they give as a whole.
            whole = self._taken(messages, tools, replace(options, stream=False), on_progress)
            if whole.outcome is not Outcome.EMPTY:
                answer = whole
        return self._judged(answer, messages, tools)

    def _taken(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],
        options: RequestOptions,
        on_progress: OnProgress | None,
    ) -> Answer:
        """Send a request in a form that the server takes."""
        body = request.body(
            self._server,
            messages,
            tools,
            options,
            max_tokens=self._max_tokens,
            seed=self._seed,
            overrides=self._overrides,
            rendering=self._render,
        )
        # For servers that have no limit of their own on thinking, or were started without it.
        longest = 6.0 * request.thinking_budget(self._server, options)
        for _ in range(len(request.OPTIONAL_FIELDS) + 1):
            reader = StreamReader(on_progress, longest)
            answer = self._exchange.send(
                body, messages, tools, reader, rescue=options.rescue, control=self._broken_up
            )
            if not self._amended(body, answer):
                break
        self._note_stream(answer.outcome, streamed=options.stream)
        return answer

    def _note_stream(self, outcome: Outcome, *, streamed: bool) -> None:
        """Leave streaming for good when it failed and the same answer came as a whole."""
        failed = outcome in (Outcome.EMPTY, Outcome.BROKEN_STREAM)
        if streamed:
            self._stream_failed = failed
        elif self._stream_failed and outcome in (Outcome.TOOL_CALLS, Outcome.FINAL_TEXT):
            self._streams = False

    def count(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> int:
        """Return the prompt's size in tokens: the server's count, else a calibrated estimate."""
        return self._counter.count(self._exchange.connection, messages, tools, self._render)

    @property
    def _broken_up(self) -> ControlTokens:
        """The control strings of the model; the server is asked once which they are."""
        if self._control is None:
            special = special_strings(
                self._server, self._api_key, self._headers, self._exchange.hangup
            )
            self._control = ControlTokens(special)
        return self._control

    @property
    def _render(self) -> request.Rendering:
        if self._rendering is None:
            self._rendering = request.Rendering(partial(request.render, control=self._broken_up))
        return self._rendering

    def call_form(self, tools: Sequence[dict[str, Any]]) -> str:
        """Return how a call looks in the model's own text, for one that did not get it right."""
        if self._form is None:
            self._form = call_form(
                self._server, tools, self._api_key, self._headers, self._exchange.hangup
            )
        return self._form

    def cancel(self) -> None:
        """Close the connection of the request under way, from any thread."""
        self._told.set()
        self._exchange.hangup.now()

    def _amended(self, body: dict[str, Any], answer: Answer) -> bool:
        """Take out or change what the server refused, here and in later requests."""
        if answer.outcome not in (Outcome.BAD_REQUEST, Outcome.OVERFLOW):
            return False
        change = request.amend(body, answer.detail, self._server.context_tokens)
        if change is None:
            return False
        field, value = change
        if value is None:
            body.pop(field)
            self._overrides[field] = None
        else:
            body[field] = value
        return True

    def _judged(
        self, answer: Answer, messages: Sequence[Message], tools: Sequence[dict[str, Any]]
    ) -> Answer:
        """Notice a context that is full where the server does not say so; learn from the usage."""
        if answer.message is None and answer.usage.prompt_tokens is None:
            return answer
        if self._server.context_tokens is None:
            self._learn_context()
        usage, context = answer.usage, self._server.context_tokens
        reused = counting.generated_reused(usage, self._before)
        self._before = usage = replace(usage, generated_reused_tokens=reused)
        answer = replace(answer, usage=usage)
        # By our own count, before it is adjusted to what the server tells of a prompt.
        if self._server.kind in SILENT_CUTTERS and (
            self._is_too_long(messages, tools) or self._counter.was_cut(messages, tools, usage)
        ):
            return replace(self._would_be_cut("was cut to fit the context"), usage=usage)
        self._counter.learn(messages, tools, usage)
        if context and answer.outcome is Outcome.TRUNCATED:
            total = (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
            if total >= context - 1:
                return replace(answer, outcome=Outcome.OVERFLOW, detail="the context is full")
        return answer

    def _would_be_cut(self, words: str) -> Answer:
        """Return the answer that stands for a prompt which the server has not read whole."""
        size = self._server.context_tokens
        known = f" of {size} tokens" if size else ""
        mend = advice.CONTEXT.get(self._server.kind, "Start the server with a larger context.")
        detail = f"The prompt {words}{known}, silently.\n{mend}"
        return Answer(Outcome.OVERFLOW, detail=detail)

    def _is_too_long(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> bool:
        context = self._server.context_tokens
        return context is not None and self._counter.estimate(messages, tools) > context

    def _ask_settings(self) -> None:
        """Ask Ollama once for the context that is set for the model itself."""
        if not self._asked_settings:
            self._asked_settings = True
            size = configured_context(
                self._server, self._api_key, self._headers, self._exchange.hangup
            )
            self._server = replace(self._server, context_tokens=size)

    def _learn_context(self) -> None:
        """Ask again for the context: some servers know it only once the model is loaded."""
        if self._asked_again:
            return
        self._asked_again = True
        with contextlib.suppress(ModelError):
            self._server = detect(
                self._server.base_url,
                api_key=self._api_key,
                model=self._server.model,
                headers=self._headers,
                hangup=self._exchange.hangup,
            )
