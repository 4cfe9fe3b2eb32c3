"""What goes to a model and what comes back: the contract between the loop and `agent.model`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol, runtime_checkable

Message = dict[str, Any]
"""An OpenAI chat message, stored and sent back byte-exact."""

ServerKind = Literal["llama.cpp", "vllm", "ollama", "lmstudio", "other"]


class Outcome(StrEnum):
    """What became of one model request. Each has exactly one recovery (`agent.model.recovery`)."""

    TOOL_CALLS = "tool_calls"
    FINAL_TEXT = "final_text"
    REASONING_ONLY = "reasoning_only"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    REPETITION = "repetition"
    FORMAT_ERROR = "format_error"
    OVERFLOW = "overflow"
    REFUSED = "refused"
    BAD_HISTORY = "bad_history"
    BAD_REQUEST = "bad_request"
    UNAVAILABLE = "unavailable"
    BROKEN_STREAM = "broken_stream"
    AUTH = "auth"
    NOT_FOUND = "not_found"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call, checked against the tools offered. `arguments` is always a JSON object.

    `error` is what the model is told instead of running the call (unknown tool, missing argument);
    `notes` are repairs worth telling the model in the result (an argument renamed, dropped).
    """

    id: str
    name: str
    arguments: dict[str, Any]
    error: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and speed of one request. None where neither the server nor we could know.

    `cached_tokens` are those of the prompt that the server had already; among them are
    `generated_reused_tokens`, which the model itself had written in the answer before.
    """

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    generated_reused_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    prefill_tokens_per_second: float | None = None
    decode_tokens_per_second: float | None = None
    seconds_to_first_token: float | None = None
    prefill_seconds: float | None = None
    decode_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One classified answer.

    `message` is the assistant message to append to the history; it is set only for outcomes that
    may be stored (TOOL_CALLS, FINAL_TEXT). `salvaged` says the calls were found in the text.
    `detail` is one line for people: the server's error, what was malformed.
    """

    outcome: Outcome
    message: Message | None = None
    calls: tuple[ToolCall, ...] = ()
    content: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    salvaged: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What one request varies; everything else is fixed for the run.

    `retry` counts how often this same prefix was sampled before: seed and temperature move with it.
    `thinking_tokens` caps the reasoning where the server can; None takes the model's setting.
    `rescue` takes calls out of the text that they were left in. `temperature` replaces the model's
    own.
    """

    retry: int = 0
    force_call: bool = False
    thinking: bool = True
    stream: bool = True
    max_tokens: int | None = None
    thinking_tokens: int | None = None
    rescue: bool = True
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Something to show while an answer is under way. Never stored."""

    kind: Literal["prefill", "reasoning", "content", "tool_call", "waiting"]
    text: str = ""
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Server:
    """A model server as found. `context_tokens` is None only when the server would not say.

    `family` says which model it is where `model` is an alias that does not.
    """

    kind: ServerKind
    base_url: str
    model: str
    context_tokens: int | None
    version: str = ""
    family: str = ""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the server can do for us.

    Attributes:
        conversations: how many may be under way at once.
        context_tokens: what each of them may hold; None where the server does not say.
        pinned: each can have a slot of the server for itself, by its number from 0.
    """

    conversations: int
    context_tokens: int | None
    pinned: bool = False


class ModelError(Exception):
    """No server, no model, no access. The message says what, why and what to do next."""


class Model(Protocol):
    """What the loop needs of a model. `agent.model.client.Client` is the real one."""

    @property
    def server(self) -> Server:
        """The server behind it."""

    def ask(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],
        options: RequestOptions,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Answer:
        """Send one request and classify what comes back. Never raises for what a server does."""

    def count(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> int:
        """Return the prompt's size in tokens: the server's count, else a calibrated estimate."""

    def call_form(self, tools: Sequence[dict[str, Any]]) -> str:
        """Return how a call looks in the model's own text, for one that did not get it right."""

    def cancel(self) -> None:
        """Close the connection of the request under way, from any thread."""


@runtime_checkable
class SharedModel(Model, Protocol):
    """A model that can hold several conversations side by side, as several attempts need."""

    def capacity(self, wanted: int) -> Capacity:
        """Return how many of so many conversations can be held at once."""

    def another(
        self, *, seed: int, context_tokens: int | None, overrides: Mapping[str, Any]
    ) -> Model:
        """Return the model for one more conversation.

        Args:
            seed: of its first sample.
            context_tokens: what that conversation may hold.
            overrides: fields of each request that take the place of the usual ones.
        """


@runtime_checkable
class CachingModel(Model, Protocol):
    """A model whose server can read a prompt ahead of time, and keep what it has read."""

    def read_ahead(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]], saved: str | None = None
    ) -> None:
        """Let the server read the start of the prompt in the background; never an error."""

    def save(self, name: str) -> None:
        """Keep what the server has read for this conversation, where it can; never an error."""
