"""A server that sends any bytes at any pace, for what no honest server would do."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterable
from typing import Any

Pieces = Callable[[bytes], Iterable[bytes]]


class RawServer:
    """Answers each request with the pieces that `reply` yields for its head and body.

    A context manager. `requests` counts them.
    """

    def __init__(self, reply: Pieces) -> None:
        server = self
        self.requests = 0

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                head = b""
                while (line := self.rfile.readline()) not in (b"\r\n", b""):
                    head += line
                length = [row for row in head.lower().split(b"\r\n") if b"content-length" in row]
                body = self.rfile.read(int(length[0].split(b":")[1])) if length else b""
                server.requests += 1
                try:
                    for piece in reply(head + b"\r\n" + body):
                        self.wfile.write(piece)
                except OSError:  # the client hung up
                    return

        self._tcp = _Tcp(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._tcp.server_address[1]}/v1"

    def __enter__(self) -> RawServer:
        threading.Thread(target=self._tcp.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._tcp.shutdown()
        self._tcp.server_close()


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up."""


def head(content_type: str = "text/event-stream", *more: str, status: str = "200 OK") -> bytes:
    """Return the head of an answer whose body ends with the connection."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", "Connection: close", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def serving(body: bytes, content_type: str = "text/event-stream", *more: str) -> RawServer:
    """Return a server that gives every request this body."""
    return RawServer(lambda _: [head(content_type, *more), body])
