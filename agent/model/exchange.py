"""One chat request over HTTP: the raw answer read within bounds, and classified."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from reapair.agent.model import counting
from reapair.agent.model.connection import Hangup, http_client
from reapair.agent.model.control_tokens import ControlTokens
from reapair.agent.model.event_stream import ServerError
from reapair.agent.model.limits import parse_json
from reapair.agent.model.outcomes import classify
from reapair.agent.model.reply import Reply, StreamReader, read_answer
from reapair.agent.model.server_errors import classify_error, parse_error
from reapair.agent.model.types import Answer, Message, Outcome, Server, ServerKind
from reapair.sandbox.secrets import Redaction, header_secrets

if TYPE_CHECKING:
    import httpx2
    import openai


LONGEST_DETAIL = 500


class Exchange:
    """Sends chat requests to one server, one at a time.

    Args:
        server: gets the requests.
        api_key: sent with them; None sends no key.
        headers: sent beside ours.
        idle_seconds: how long the server may stay silent during an answer; a whole answer may
            take six times as long.
    """

    def __init__(
        self,
        server: Server,
        api_key: str | None,
        headers: Mapping[str, str],
        idle_seconds: float,
    ) -> None:
        self._server = server
        self._api_key = api_key
        self._headers = headers
        self._idle_seconds = idle_seconds
        self._openai: openai.OpenAI | None = None
        self.hangup = Hangup()
        secrets = [secret for value in headers.values() for secret in header_secrets(value)]
        self._hide = Redaction([*secrets, api_key or ""]).text

    def send(
        self,
        body: dict[str, Any],
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],
        reader: StreamReader,
        *,
        rescue: bool,
        control: ControlTokens,
    ) -> Answer:
        """Send a request and classify what comes back. Never raises for what a server does."""
        import httpx2
        import openai

        try:
            with self.hangup.after(6 * self._idle_seconds):
                reply = self._post(body, reader)
            usage = counting.usage(reply)
            answer = classify(reply, messages, tools, usage, rescue=rescue, control=control)
        except ServerError as error:
            answer = _failed(None, error.error, self._server.kind)
        except openai.APIStatusError as error:
            answer = _failed(error.status_code, _value(error.response), self._server.kind)
        except (openai.APITimeoutError, httpx2.TimeoutException):
            answer = Answer(Outcome.BROKEN_STREAM, detail="the server stayed silent too long")
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            answer = _unreachable(error)
        except ValueError as error:  # no JSON where JSON was promised, or too much of it
            answer = Answer(Outcome.BROKEN_STREAM, detail=f"the answer can't be read: {error}")
        if self.hangup.requested:
            return Answer(Outcome.CANCELLED, detail="cancelled")
        # Cut afterwards: of a key that is cut, the rest would not be known.
        return replace(answer, detail=self._hide(answer.detail)[:LONGEST_DETAIL])

    def _post(self, body: dict[str, Any], reader: StreamReader) -> Reply:
        """Send a request and read the answer, a stream or not, from the raw response."""
        import httpx2
        import openai

        # Where nothing comes before everything does, the idle limit must hold a whole answer.
        seconds = self._idle_seconds if body.get("stream") else 6 * self._idle_seconds
        response = self.connection.post(
            "/chat/completions",
            body=body,
            cast_to=httpx2.Response,
            stream=True,
            stream_cls=openai.Stream[object],
            options={"timeout": httpx2.Timeout(seconds, connect=15.0)},
        )
        with contextlib.closing(cast("httpx2.Response", response)) as answer:
            return read_answer(answer.iter_bytes(), reader)

    @property
    def connection(self) -> openai.OpenAI:
        """The OpenAI client that it sends with."""
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
            hangup=self.hangup,
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


def _failed(status: int | None, body: Any, server: ServerKind) -> Answer:
    """Classify an error that the server put into words."""
    kind, code, message = parse_error(body)
    outcome, advice = classify_error(status, kind, message, code=code, server=server)
    words = " ".join(f"{status or ''} {message}".split())
    return Answer(outcome, detail=f"{words}\n{advice}" if advice else words)


def _unreachable(error: Exception) -> Answer:
    """Return the outcome for a server that is not there, or for a connection that broke."""
    import httpx2

    cause = error.__cause__ or error
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
        return Answer(Outcome.UNAVAILABLE, detail=f"no connection: {cause}")
    return Answer(Outcome.BROKEN_STREAM, detail=f"the connection broke: {cause}")
