"""The model client: one request in, one classified answer out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reapair.agent.model import counting, request
from reapair.agent.model.connection import Hangup, http_client
from reapair.agent.model.outcomes import classify, classify_error
from reapair.agent.model.reply import Reply, ServerError, StreamReader, read_body
from reapair.agent.model.types import (
    Answer,
    Message,
    Outcome,
    Progress,
    RequestOptions,
    Server,
)

if TYPE_CHECKING:
    import httpx2
    import openai

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
    ) -> None:
        self._server = server
        self._api_key = api_key
        self._max_tokens = max_tokens
        self._seed = seed
        self._overrides = dict(overrides or {})
        self._idle_seconds = idle_seconds
        self._hangup = Hangup()
        self._openai: openai.OpenAI | None = None
        self._counter = counting.Counter(server)

    @property
    def server(self) -> Server:
        """The server behind it."""
        return self._server

    def ask(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],
        options: RequestOptions,
        on_progress: OnProgress | None = None,
    ) -> Answer:
        """Send one request and classify what comes back. Never raises for what a server does."""
        self._hangup.reset()
        body = request.body(
            self._server,
            messages,
            tools,
            options,
            max_tokens=self._max_tokens,
            seed=self._seed,
            overrides=self._overrides,
        )
        for _ in request.OPTIONAL_FIELDS:
            answer = self._attempt(body, tools, f"call_{len(messages)}", on_progress)
            refused = self._refused_field(answer, body)
            if refused is None:
                break
            body.pop(refused)
            self._overrides[refused] = None
        self._counter.learn(messages, tools, answer.usage.prompt_tokens)
        return answer

    def count(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> int:
        """Return the prompt's size in tokens: the server's count, else a calibrated estimate."""
        return self._counter.count(self._connection(), messages, tools)

    def cancel(self) -> None:
        """Close the connection of the request under way, from any thread."""
        self._hangup.now()

    def _attempt(
        self,
        body: dict[str, Any],
        tools: Sequence[dict[str, Any]],
        id_prefix: str,
        on_progress: OnProgress | None,
    ) -> Answer:
        import openai

        try:
            reply = self._stream(body, on_progress) if body.get("stream") else self._whole(body)
            usage = counting.usage(reply)
            answer = classify(reply, tools, id_prefix, usage)
        except ServerError as error:
            answer = _failed(None, error.error)
        except openai.APIStatusError as error:
            answer = _failed(error.status_code, error.body or error.response.text)
        except openai.APITimeoutError:
            answer = Answer(Outcome.BROKEN_STREAM, detail="the server stayed silent too long")
        except openai.APIConnectionError as error:
            answer = _unreachable(error)
        except openai.APIError as error:  # an error object in the middle of a stream
            answer = _failed(None, error.body or error.message)
        except (ValueError, UnicodeError) as error:  # no JSON where JSON was promised
            answer = Answer(Outcome.BROKEN_STREAM, detail=f"the answer is no JSON: {error}")
        if self._hangup.requested:
            return Answer(Outcome.CANCELLED, detail="cancelled")
        return answer

    def _stream(self, body: dict[str, Any], on_progress: OnProgress | None) -> Reply:
        import openai

        with self._connection().post(
            "/chat/completions",
            body=body,
            cast_to=object,
            stream=True,
            stream_cls=openai.Stream[object],
        ) as chunks:
            return StreamReader(on_progress).read(chunks)

    def _whole(self, body: dict[str, Any]) -> Reply:
        started = time.monotonic()
        # Nothing comes before everything does: the idle limit must hold a whole answer.
        answer = self._connection().post(
            "/chat/completions",
            body=body,
            cast_to=object,
            options={"timeout": 6 * self._idle_seconds},
        )
        return read_body(answer, time.monotonic() - started)

    def _refused_field(self, answer: Answer, body: dict[str, Any]) -> str | None:
        """Return the optional field that the server did not take, by its own words."""
        if answer.outcome is not Outcome.BAD_REQUEST:
            return None
        for field in request.OPTIONAL_FIELDS:
            if field in body and field in answer.detail:
                return field
        return None

    def _connection(self) -> openai.OpenAI:
        if self._openai is None:
            import httpx2
            import openai

            self._openai = openai.OpenAI(
                base_url=self._server.base_url,
                api_key=self._api_key or "none",
                max_retries=0,
                http_client=http_client(
                    self._server.base_url,
                    timeout=httpx2.Timeout(self._idle_seconds, connect=15.0),
                    event_hooks={"request": [self._last_touch]},
                ),
            )
        return self._openai

    def _last_touch(self, outgoing: httpx2.Request) -> None:
        """Keep back what the environment would send to a server that it was not meant for."""
        kept_back = ["OpenAI-Organization", "OpenAI-Project"]
        if self._api_key is None:
            kept_back.append("Authorization")
        for name in kept_back:
            outgoing.headers.pop(name, None)
        self._hangup.watch(outgoing)


def _failed(status: int | None, body: Any) -> Answer:
    """Classify an error that the server put into words."""
    error = body.get("error", body) if isinstance(body, dict) else body
    kind, message = "", str(error)
    if isinstance(error, dict):
        kind, message = str(error.get("type") or ""), str(error.get("message") or error)
    return Answer(
        classify_error(status, kind, message),
        detail=" ".join(f"{status or ''} {message}".split())[:500],
    )


def _unreachable(error: Exception) -> Answer:
    """Tell a server that is not there from a connection that broke during an answer."""
    import httpx2

    cause = error.__cause__
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
        return Answer(Outcome.UNAVAILABLE, detail=f"no connection: {cause}")
    return Answer(Outcome.BROKEN_STREAM, detail=f"the connection broke: {cause or error}")
