"""The model client: one request in, one classified answer out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from reapair.agent.model import counting, request
from reapair.agent.model.capacity import capacity
from reapair.agent.model.connection import Hangup, http_client
from reapair.agent.model.event_stream import ServerError
from reapair.agent.model.limits import parse_json
from reapair.agent.model.outcomes import classify, classify_error
from reapair.agent.model.prompt_cache import Ahead
from reapair.agent.model.reply import Reply, StreamReader, read_answer
from reapair.agent.model.servers import detect
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
from reapair.sandbox.secrets import Redaction, header_secrets

if TYPE_CHECKING:
    import httpx2
    import openai

SILENT_CUTTERS = ("ollama", "lmstudio", "other")
"""Kinds of servers that may drop the start of a prompt that does not fit, and answer still."""

_TOLD_SECONDS = 30.0  # a server that does not even take its reading ahead is asked all the same

LONGEST_DETAIL = 500
"""Characters that are kept of what a server says of an error."""

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
        secrets = [secret for value in self._headers.values() for secret in header_secrets(value)]
        self._hide = Redaction([*secrets, api_key or ""]).text
        self._hangup = Hangup()
        self._openai: openai.OpenAI | None = None
        self._counter = counting.Counter(server)
        self._rendering = request.Rendering(request.render)
        self._asked_again = False
        self._before: Usage | None = None
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
        slot = self._overrides.get("id_slot")
        if slot is None and "id_slot" not in self._overrides:
            slot = ahead.idle_slot()
            if slot is not None:
                self._overrides["id_slot"] = slot

        def read() -> None:
            try:
                if saved and slot is not None:
                    ahead.restore(slot, saved)
                ahead.read(messages, tools, slot, self._told.set)
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
        self._hangup.reset()
        self._told.wait(_TOLD_SECONDS)
        if self._server.kind in SILENT_CUTTERS and self._is_too_long(messages, tools):
            detail = "the prompt is longer than the context; this server would cut it silently"
            return Answer(Outcome.OVERFLOW, detail=detail)
        streams = request.can_stream(self._server)
        options = replace(options, stream=options.stream and streams)
        body = request.body(
            self._server,
            messages,
            tools,
            options,
            max_tokens=self._max_tokens,
            seed=self._seed,
            overrides=self._overrides,
            rendering=self._rendering,
        )
        # For servers that have no limit of their own on thinking, or were started without it.
        longest = 6.0 * request.thinking_budget(self._server, options)
        for _ in range(len(request.OPTIONAL_FIELDS) + 1):
            reader = StreamReader(on_progress, longest)
            answer = self._attempt(body, messages, tools, reader, rescue=options.rescue)
            if not self._amended(body, answer):
                break
        return self._judged(answer, messages, tools)

    def count(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> int:
        """Return the prompt's size in tokens: the server's count, else a calibrated estimate."""
        return self._counter.count(self._connection(), messages, tools)

    def cancel(self) -> None:
        """Close the connection of the request under way, from any thread."""
        self._told.set()
        self._hangup.now()

    def _amended(self, body: dict[str, Any], answer: Answer) -> bool:
        """Take out or change what the server refused, here and in later requests."""
        if answer.outcome not in (Outcome.BAD_REQUEST, Outcome.OVERFLOW):
            return False
        change = request.amend(body, answer.detail)
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
        usage, context = answer.usage, self._server.context_tokens
        prompt_tokens = usage.prompt_tokens
        if prompt_tokens is None:
            return answer
        reused = counting.generated_reused(usage, self._before)
        self._before = usage = replace(usage, generated_reused_tokens=reused)
        answer = replace(answer, usage=usage)
        if self._server.kind in SILENT_CUTTERS and self._counter.was_cut(messages, tools, usage):
            detail = "the server cut the prompt silently to fit its context"
            return Answer(Outcome.OVERFLOW, usage=usage, detail=detail)
        self._counter.learn(messages, tools, usage)
        if context is None:
            self._learn_context()
        elif answer.outcome is Outcome.TRUNCATED:
            total = prompt_tokens + (usage.completion_tokens or 0)
            if total >= context - 1:
                return replace(answer, outcome=Outcome.OVERFLOW, detail="the context is full")
        return answer

    def _is_too_long(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> bool:
        context = self._server.context_tokens
        return context is not None and self._counter.estimate(messages, tools) > context

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
            )

    def _attempt(
        self,
        body: dict[str, Any],
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],
        reader: StreamReader,
        *,
        rescue: bool,
    ) -> Answer:
        import httpx2
        import openai

        try:
            with self._hangup.after(6 * self._idle_seconds):
                reply = self._exchange(body, reader)
            answer = classify(reply, messages, tools, counting.usage(reply), rescue=rescue)
        except ServerError as error:
            answer = _failed(None, error.error)
        except openai.APIStatusError as error:
            answer = _failed(error.status_code, _value(error.response))
        except (openai.APITimeoutError, httpx2.TimeoutException):
            answer = Answer(Outcome.BROKEN_STREAM, detail="the server stayed silent too long")
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            answer = _unreachable(error)
        except ValueError as error:  # no JSON where JSON was promised, or too much of it
            answer = Answer(Outcome.BROKEN_STREAM, detail=f"the answer can't be read: {error}")
        if self._hangup.requested:
            return Answer(Outcome.CANCELLED, detail="cancelled")
        # Cut afterwards: of a key that is cut, the rest would not be known.
        return replace(answer, detail=self._hide(answer.detail)[:LONGEST_DETAIL])

    def _exchange(self, body: dict[str, Any], reader: StreamReader) -> Reply:
        """Send a request and read the answer, a stream or not, from the raw response."""
        import httpx2
        import openai

        # Where nothing comes before everything does, the idle limit must hold a whole answer.
        seconds = self._idle_seconds if body.get("stream") else 6 * self._idle_seconds
        response = self._connection().post(
            "/chat/completions",
            body=body,
            cast_to=httpx2.Response,
            stream=True,
            stream_cls=openai.Stream[object],
            options={"timeout": httpx2.Timeout(seconds, connect=15.0)},
        )
        with contextlib.closing(cast("httpx2.Response", response)) as answer:
            return read_answer(answer.iter_bytes(), reader)

    def _connection(self) -> openai.OpenAI:
        if self._openai is None:
            import openai

            self._openai = openai.OpenAI(
                base_url=self._server.base_url,
                api_key=self._api_key or "none",
                max_retries=0,
                default_headers=self._headers,
                http_client=self._http_client(),
            )
        return self._openai

    def _http_client(self) -> httpx2.Client:
        import httpx2

        client = http_client(
            self._server.base_url,
            timeout=httpx2.Timeout(self._idle_seconds, connect=15.0),
            hangup=self._hangup,
        )
        client.event_hooks["request"].append(self._keep_back)
        return client

    def _keep_back(self, outgoing: httpx2.Request) -> None:
        """Keep back what the environment would send to a server that it was not meant for."""
        kept_back = ["OpenAI-Organization", "OpenAI-Project"]
        if self._api_key is None:
            kept_back.append("Authorization")
        given = {name.lower() for name in self._headers}
        for name in kept_back:
            if name.lower() not in given:
                outgoing.headers.pop(name, None)


def _value(response: httpx2.Response) -> Any:
    """Return the JSON of an error's body, else its text."""
    try:
        return parse_json(response.content)
    except ValueError:
        return response.text


def _failed(status: int | None, body: Any) -> Answer:
    """Classify an error that the server put into words."""
    error = body.get("error", body) if isinstance(body, dict) else body
    kind, message = "", str(error)
    if isinstance(error, dict):
        kind, message = str(error.get("type") or ""), str(error.get("message") or error)
    return Answer(
        classify_error(status, kind, message),
        detail=" ".join(f"{status or ''} {message}".split()),
    )


def _unreachable(error: Exception) -> Answer:
    """Return the outcome for a server that is not there, or for a connection that broke."""
    import httpx2

    cause = error.__cause__ or error
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
        return Answer(Outcome.UNAVAILABLE, detail=f"no connection: {cause}")
    return Answer(Outcome.BROKEN_STREAM, detail=f"the connection broke: {cause}")
