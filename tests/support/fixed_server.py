"""A server with fixed answers to GETs, for telling kinds of servers apart."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FixedServer:
    """Answers GETs from `answers`: path to body, or to (status, body). A context manager.

    `asked` holds every request line and its Authorization header.
    """

    def __init__(self, answers: dict[str, Any]) -> None:
        asked: list[tuple[str, str, str | None]] = []
        self.asked = asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                asked.append((self.command, self.path, self.headers.get("Authorization")))
                entry = answers.get(self.path, (404, {"error": "not found"}))
                status, body = entry if isinstance(entry, tuple) else (200, entry)
                data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET  # noqa: N815

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> FixedServer:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
