"""Connections to a model server: addresses, proxies, and hanging up from another thread."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from reapair.agent.model.limits import ANSWER_BYTES, BODY_BYTES
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
    """Return whether the address is this machine or its private network: no proxy belongs there."""
    host = urlsplit(url).hostname or ""
    if host in ("localhost", "host.docker.internal") or host.endswith(".localhost"):
        return True
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        return address.is_loopback or address.is_private
    return False


def http_client(
    base_url: str,
    *,
    timeout: httpx2.Timeout | float,
    hangup: Hangup,
    limit: int = ANSWER_BYTES,
    **options: Any,
) -> httpx2.Client:
    """Return an HTTP client that keeps no idle connections and bounds every body it reads.

    llama.cpp closes the connection after each stream although it promises to keep it, so a pooled
    client would lose the next request. A proxy from the environment is never asked for loopback,
    but its certificates (`SSL_CERT_FILE`, `SSL_CERT_DIR`) are trusted everywhere.

    Args:
        base_url: decides whether a proxy may be used.
        timeout: for each wait; how long a whole answer may take is for `hangup` to say.
        hangup: closes the connection of the request under way.
        limit: decoded bytes of one body.
        options: of `httpx2.Client`.
    """
    import httpx2

    from reapair.agent.model.bounded_body import bound

    client = httpx2.Client(
        timeout=timeout,
        verify=httpx2.create_ssl_context(trust_env=base_url.startswith("https:")),
        trust_env=not is_near(base_url),
        limits=httpx2.Limits(max_keepalive_connections=0),
        event_hooks={"request": [hangup.watch], "response": [bound(limit)]},
        **options,
    )
    client.headers["Accept-Encoding"] = "identity"
    return client


@contextlib.contextmanager
def brief_client(
    base_url: str, seconds: float, hangup: Hangup, **options: Any
) -> Iterator[httpx2.Client]:
    """Yield a client whose requests, all together, are given so many seconds."""
    options |= {"timeout": seconds, "hangup": hangup, "limit": BODY_BYTES}
    with http_client(base_url, **options) as client, hangup.after(seconds):
        yield client


class Hangup:
    """Closes the connection of the request under way, from any thread, at any moment of it.

    Closing the response object would not wake a thread that waits in `recv`; shutting the socket
    down does, and it works before the first header has come.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._deadline: float | None = None
        self.requested = False

    def reset(self) -> None:
        """Forget the last request."""
        with self._lock:
            self._socket = None
            self.requested = False

    def watch(self, request: httpx2.Request) -> None:
        """Follow the connection of this request (an event hook of the HTTP client)."""
        others = request.extensions.get("trace")

        def trace(event: str, info: dict[str, Any]) -> None:
            self._trace(event, info)
            if others is not None:
                others(event, info)

        request.extensions["trace"] = trace
        if self._deadline is not None:
            left = max(self._deadline - time.monotonic(), 0.001)
            waits = request.extensions.get("timeout", {})
            request.extensions["timeout"] = {
                name: left if wait is None else min(wait, left) for name, wait in waits.items()
            }

    def now(self) -> None:
        """Hang up. Without a request under way, only sets `requested`."""
        with self._lock:
            self.requested = True
            self._shut_down()

    @property
    def late(self) -> bool:
        """Whether the time given by `after` is over."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    @contextlib.contextmanager
    def after(self, seconds: float) -> Iterator[None]:
        """Hang up when what is done in this block takes longer, at whatever it waits.

        A timeout of the HTTP library starts again with each byte that comes.
        """
        self._deadline = time.monotonic() + seconds
        timer = threading.Timer(seconds, self._expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            self._deadline = None

    def _expire(self) -> None:
        with self._lock:
            self._shut_down()

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        if event not in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            return
        with self._lock:
            self._socket = info["return_value"].get_extra_info("socket")
            if self.requested or self.late:
                self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
