"""Asking a server what it is, and the ways in which that can fail."""

# ruff: noqa: N818 - the errors name a state of the server
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reapair.agent.model.connection import Hangup, brief_client, server_root
from reapair.agent.model.limits import parse_json
from reapair.agent.model.types import ModelError

if TYPE_CHECKING:
    import httpx2

SECONDS = 5.0
"""All that is asked of a server to find out what it is takes no longer."""


class NothingThere(ModelError):
    """Nothing answers at the address."""


class NotAModelServer(ModelError):
    """Something answers that is no OpenAI-compatible server."""


class ServerLoading(ModelError):
    """The server is there and still loads its model: wait and ask again."""


class AccessRefused(ModelError):
    """The server wants another API key."""


@dataclass(frozen=True, slots=True)
class Got:
    """A request that was answered: the status, the body, and its value when it is JSON."""

    status: int
    text: str
    body: Any

    def dict(self) -> dict[str, Any]:
        """Return the body if it is an object that came with 200, else an empty one."""
        return self.body if self.status == 200 and isinstance(self.body, dict) else {}


@contextmanager
def probe(
    base_url: str,
    api_key: str | None,
    headers: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
    hangup: Hangup | None = None,
) -> Iterator[Probe]:
    """Yield a probe of the server at `base_url` that takes so many seconds in all.

    With `hangup`, another thread can end it before.
    """
    sent = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    hangup = hangup or Hangup()
    with brief_client(base_url, seconds, hangup, headers=sent | dict(headers or {})) as client:
        yield Probe(base_url, client, hangup)


class Probe:
    """Small requests to one server; a connection that fails raises ModelError."""

    def __init__(self, base_url: str, client: httpx2.Client, hangup: Hangup) -> None:
        self.base_url = base_url
        self.root = server_root(base_url)
        self._client = client
        self._hangup = hangup

    def get(self, url: str) -> Got:
        """GET an address. Raises NothingThere."""
        return self._send("GET", url)

    def post(self, url: str, body: dict[str, Any]) -> Got:
        """POST a JSON body. Raises NothingThere."""
        return self._send("POST", url, json=body)

    def _send(self, method: str, url: str, **more: Any) -> Got:
        import httpx2

        try:
            answer = self._client.request(method, url, **more)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._nothing(_cause(error)) from None
        if self._hangup.late:  # to us, a body that we hung up on may look whole
            raise self._nothing("no answer in time")
        try:
            return Got(answer.status_code, answer.text, parse_json(answer.content))
        except ValueError:
            return Got(answer.status_code, answer.text, None)

    def _nothing(self, cause: str) -> NothingThere:
        cause = "no answer in time" if self._hangup.late else cause
        return NothingThere(
            f"No model server answers at {self.base_url}: {cause}.\n"
            "Start one, or say where it is with --base-url."
        )


def _cause(error: Exception) -> str:
    """Return the reason for a failed connection in plain words."""
    text = str(error)
    if "refused" in text:
        return "connection refused"
    if "timed out" in text or "timeout" in text.lower():
        return "no answer in time"
    return text or type(error).__name__


def entries_of(value: Any) -> list[dict[str, Any]]:
    """Return the objects in a JSON list; nothing for anything else."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
