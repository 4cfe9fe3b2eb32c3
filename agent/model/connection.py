"""Connections to a model server: addresses, proxies, and hanging up from another thread."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from reapair.agent.model.types import ModelError

if TYPE_CHECKING:
    import httpx2


def api_root(address: str) -> str:
    """Return the root of the OpenAI API at `address`, without a trailing slash.

    `host:8080` and `http://host:8080/` become `http://host:8080/v1`; a path that already ends in a
    version (`/api/paas/v4`) is kept. Raises ModelError for what is no http address.
    """
    text = address.strip()
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ModelError(
            f"{address!r} is not the address of a model server.\n"
            "Give one like http://127.0.0.1:8080/v1 with --base-url."
        )
    text, path = text.rstrip("/"), parts.path.rstrip("/")
    if path.endswith("/chat/completions"):
        return text.removesuffix("/chat/completions")
    return text if re.search(r"/v\d+\w*$", path) else f"{text}/v1"


def server_root(base_url: str) -> str:
    """Return the address in front of `/v1`, where /health, /props and /version are."""
    return re.sub(r"/v\d+\w*$", "", base_url)


def is_near(url: str) -> bool:
    """Say whether the address is this machine or its private network, where no proxy belongs."""
    host = urlsplit(url).hostname or ""
    if host in ("localhost", "host.docker.internal") or host.endswith(".localhost"):
        return True
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        return address.is_loopback or address.is_private
    return False


def http_client(base_url: str, *, timeout: httpx2.Timeout | float, **options: Any) -> httpx2.Client:
    """Return an HTTP client that keeps no idle connections.

    llama.cpp closes the connection after each stream although it promises to keep it, so a pooled
    client would lose the next request. A proxy from the environment is never asked for loopback.
    """
    import httpx2

    return httpx2.Client(
        timeout=timeout,
        trust_env=not is_near(base_url),
        limits=httpx2.Limits(max_keepalive_connections=0),
        **options,
    )


class Hangup:
    """Closes the connection of the request under way, from any thread, at any moment of it.

    Closing the response object would not wake a thread that waits in `recv`; shutting the socket
    down does, and it works before the first header has come.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.requested = False

    def reset(self) -> None:
        """Forget the last request."""
        with self._lock:
            self._socket = None
            self.requested = False

    def watch(self, request: httpx2.Request) -> None:
        """Follow the connection of this request (an event hook of the HTTP client)."""
        request.extensions["trace"] = self._trace

    def now(self) -> None:
        """Hang up. Without a request under way, only sets `requested`."""
        with self._lock:
            self.requested = True
            self._shut_down()

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        if event not in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            return
        with self._lock:
            self._socket = info["return_value"].get_extra_info("socket")
            if self.requested:
                self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
