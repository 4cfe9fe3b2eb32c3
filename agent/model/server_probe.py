"""Looking at a server with GETs, and the ways in which that can fail."""

# ruff: noqa: N818 - the errors name a state of the server
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reapair.agent.model.connection import http_client, server_root
from reapair.agent.model.types import ModelError

if TYPE_CHECKING:
    import httpx2


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
    """A GET that was answered: the status and the body, parsed when it is JSON."""

    status: int
    body: Any

    def dict(self) -> dict[str, Any]:
        """Return the body if it is an object that came with 200, else an empty one."""
        return self.body if self.status == 200 and isinstance(self.body, dict) else {}


class Probe:
    """GETs against one server; a connection that fails raises ModelError once and for all."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        timeout: float,
        more_headers: Mapping[str, str] | None = None,
    ) -> None:
        self.base_url = base_url
        self.root = server_root(base_url)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        headers |= more_headers or {}
        self.client: httpx2.Client = http_client(base_url, timeout=timeout, headers=headers)

    def get(self, url: str) -> Got:
        """GET an address. Raises NothingThere."""
        import httpx2

        try:
            answer = self.client.get(url)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise NothingThere(
                f"No model server answers at {self.base_url}: {_cause(error)}.\n"
                "Start one, or say where it is with --base-url."
            ) from None
        try:
            return Got(answer.status_code, json.loads(answer.content))
        except (ValueError, RecursionError):
            return Got(answer.status_code, None)


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
