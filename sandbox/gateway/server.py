"""A small local server that adds the secrets of the user's indexes and proxies to requests.

A set-up command runs the repository's own code, with network. It is given addresses of this server
in place of those that hold a secret; the login is added here, and only for the places that the
user's settings name. From an index there is only reading.
"""

from __future__ import annotations

import contextlib
import hmac
import re
import secrets
import threading
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from reapair.sandbox.gateway.addresses import Address
from reapair.sandbox.gateway.tunnel import forward
from reapair.sandbox.secrets import Redaction, basic

if TYPE_CHECKING:
    import httpx2

CONNECTIONS = 64
"""Most requests at a time; more are refused."""

TEXT_LIMIT = 64 * 1024 * 1024
"""Most bytes of a page whose links are rewritten."""

_SECONDS = 120.0
_USER = "setup"
_FROM_CLIENT = ("accept", "range", "if-none-match", "if-modified-since", "user-agent")
_TO_CLIENT = (
    *("content-type", "etag", "last-modified", "accept-ranges", "content-range"),
    *("cache-control", "npm-notice"),
)
_PAGE = re.compile(r"(text/|application/).*(html|json|plain|xml)")
_TARGET = re.compile(r"[\w.-]+:\d+|\[[\da-fA-F:.]+\]:\d+|http://[!-~]+")
_OWN_LINK = re.compile(r"""(href\s*=\s*["']?|"(?:url|tarball)"\s*:\s*")/(?!/)""", re.I)


@dataclass(frozen=True)
class Route:
    """The route to one index; the set-up sees `prefix` instead of the index's address."""

    address: Address
    prefix: str

    @cached_property
    def _aliases(self) -> dict[str, str]:
        return {part: f"hidden-{at}" for at, part in enumerate(self.address.hidden_parts)}

    @cached_property
    def _origin(self) -> re.Pattern[str]:
        host, port = re.escape(self.address.host), self.address.port
        end = r"(?![\w.:-])"
        return re.compile(rf"https?:(?:\\?/){{2}}(?:[^\s/@]*@)?{host}(?::{port})?{end}", re.I)

    @cached_property
    def _redaction(self) -> Redaction:
        return Redaction(self.address.secrets())

    def shown(self, path: str) -> str:
        """Return the address of a path of the index as the set-up sees it."""
        for part, alias in self._aliases.items():
            path = path.replace(f"/{part}", f"/{alias}")
        return self.prefix + path

    def real(self, path: str) -> str:
        """Return the index's own address for a requested path."""
        for part, alias in self._aliases.items():
            path = path.replace(f"/{alias}", f"/{part}")
        query = self.address.query
        joined = f"{'&' if '?' in path else '?'}{query}" if query else ""
        return f"{self.address.origin}{path}{joined}"

    def page(self, text: str) -> str:
        """Return a page of the index with its links to the index leading to this server."""
        text = self._origin.sub(self.prefix, text)
        own = self.prefix[self.prefix.index("/", len("http://")) :]
        text = _OWN_LINK.sub(lambda found: f"{found[1]}{own}/", text)
        for part, alias in self._aliases.items():
            text = text.replace(part, alias)
        return self._redaction.text(text)


class Gateway:
    """The server; it listens once created, and answers inside a `with` block.

    Args:
        host: the address of this machine that the sandbox reaches. Raises OSError where this
            machine has no such address.
    """

    def __init__(self, host: str) -> None:
        self._server = _Server((host, 0), _Handler)
        self._server.gateway = self
        self.token = secrets.token_urlsafe(18)
        self.routes: list[Route] = []
        self.proxies: list[Address] = []
        self.host = host
        self.place = f"{host}:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def index(self, address: Address) -> str:
        """Return this server's address for a package index."""
        prefix = f"http://{self.place}/{self.token}/{len(self.routes)}"
        route = Route(address, prefix)
        self.routes.append(route)
        return route.shown(address.path)

    def proxy(self, address: Address) -> str:
        """Return this server's address as a proxy that forwards to the given one."""
        self.proxies.append(address)
        return f"http://{_USER}{len(self.proxies) - 1}:{self.token}@{self.place}"

    def route(self, path: str) -> tuple[Route, str] | None:
        """Return the route of a request's path, and the path in the index."""
        _, token, number, *rest = path.split("/", 3) + [""] * 3
        if not hmac.compare_digest(token.encode(), self.token.encode()) or not number.isdecimal():
            return None
        if int(number) >= len(self.routes):
            return None
        return self.routes[int(number)], f"/{rest[0]}"

    def proxy_for(self, authorization: str) -> Address | None:
        """Return the proxy that belongs to a login to this server."""
        for number, address in enumerate(self.proxies):
            known = f"Basic {basic(f'{_USER}{number}', self.token)}"
            if hmac.compare_digest(authorization.encode(), known.encode()):
                return address
        return None

    @cached_property
    def client(self) -> httpx2.Client:
        """Sends requests to the indexes through the host's own proxies."""
        import httpx2

        return httpx2.Client(timeout=_SECONDS, follow_redirects=False)


class _Server(ThreadingHTTPServer):
    gateway: Gateway
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *arguments: Any) -> None:
        self._free = threading.Semaphore(CONNECTIONS)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, *_: Any) -> None:
        """Ignore errors of clients that have disconnected."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _SECONDS
    rbufsize = 0  # What comes after the headers is passed on from the socket itself.

    @property
    def _gateway(self) -> Gateway:
        return cast(_Server, self.server).gateway

    def do_GET(self) -> None:
        if not self.path.startswith("/"):
            self._forward()
        elif (found := self._gateway.route(self.path)) is None:
            self.send_error(404)
        else:
            self._fetch(*found)

    do_HEAD = do_GET  # noqa: N815 - the names are http.server's

    def do_CONNECT(self) -> None:
        self._forward()

    def do_POST(self) -> None:
        if self.path.startswith("/"):
            self.send_error(405, "Indexes are only read")
        else:
            self._forward()

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_POST  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Log nothing, because a path may be a secret."""

    def _forward(self) -> None:
        if not _TARGET.fullmatch(self.path):
            self.send_error(400)
            return
        proxy = self._gateway.proxy_for(self.headers.get("Proxy-Authorization", ""))
        if proxy is None:
            self.send_response(407)
            self.send_header("Proxy-Authenticate", 'Basic realm="set-up"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        try:
            forward(self.connection, self.command, self.path, self.headers, proxy)
        except OSError:
            with contextlib.suppress(OSError):
                self.send_error(502, "The proxy of this machine does not answer")

    def _fetch(self, route: Route, path: str) -> None:
        import httpx2

        headers = {name: self.headers[name] for name in _FROM_CLIENT if name in self.headers}
        headers["Accept-Encoding"] = "identity"
        if authorization := route.address.authorization:
            headers["Authorization"] = authorization
        client = self._gateway.client
        try:
            request = client.build_request(self.command, route.real(path), headers=headers)
            answer = client.send(request, stream=True)
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError):
            self.send_error(502, "The index does not answer")
            return
        try:
            self._answer(route, answer)
        except httpx2.HTTPError:
            self.close_connection = True
        finally:
            answer.close()

    def _answer(self, route: Route, answer: httpx2.Response) -> None:
        kind = answer.headers.get("content-type", "")
        page = self._page(route, answer) if _PAGE.match(kind) else None
        self.send_response(answer.status_code)
        for name in _TO_CLIENT:
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        if place := answer.headers.get("location"):
            self.send_header("Location", self._moved(route, place))
        if page is not None:
            self.send_header("Content-Length", str(len(page)))
        elif "content-length" in answer.headers:
            self.send_header("Content-Length", answer.headers["content-length"])
            if encoding := answer.headers.get("content-encoding"):
                self.send_header("Content-Encoding", encoding)
        self.end_headers()
        if self.command == "HEAD":
            return
        for piece in answer.iter_raw() if page is None else (page,):
            self.wfile.write(piece)

    def _page(self, route: Route, answer: httpx2.Response) -> bytes:
        """Return a page with its links rewritten."""
        body = bytearray()
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > TEXT_LIMIT:
                raise ConnectionAbortedError
        text = body.decode("utf-8", "surrogateescape")
        return route.page(text).encode("utf-8", "surrogateescape")

    @staticmethod
    def _moved(route: Route, place: str) -> str:
        """Return the target of a redirection as the set-up sees it."""
        return route.shown(place) if re.match("/(?!/)", place) else route.page(place)
