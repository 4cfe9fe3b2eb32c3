"""A server that speaks the model hub's HTTP for one file: HEAD, redirect, ranges, and its faults.

The headers are those of huggingface_hub's own client (`file_download.py`): `X-Repo-Commit`,
`X-Linked-Etag` (the SHA-256 of a large file), `X-Linked-Size`, `X-Error-Code`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c0ffee" + "0" * 34


@dataclass
class Hub:
    """What the server has, and what it saw. `cuts` connections break half-way through the file."""

    content: bytes
    cuts: int = 0
    error: str = ""
    wrong_sum: bool = False
    url: str = ""
    size: int | None = None
    seen: list[str] = field(default_factory=list)


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve until the block ends; `hub.url` is then known."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _file(self, *, body: bool) -> None:
            begin = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
            data = hub.content[begin:]
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Accept-Ranges", "bytes")
            total = len(hub.content)
            self.send_header("Content-Range", f"bytes {begin}-{total - 1}/{total}")
            self.end_headers()
            if body and hub.cuts:
                hub.cuts -= 1
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                self.close_connection = True
            elif body:
                self.wfile.write(data)

        def _describe(self) -> None:
            error = "" if "/resolve/" in self.path else "EntryNotFound"
            if error := hub.error or error:
                self.send_response(404 if "NotFound" in error else 403)
                self.send_header("X-Error-Code", error)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            digest = hashlib.sha256(hub.content + b"x" * hub.wrong_sum).hexdigest()
            self.send_response(302)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{digest[:40]}"')
            self.send_header("X-Linked-Etag", f'"{digest}"')
            self.send_header("X-Linked-Size", str(hub.size or len(hub.content)))
            # The hub's storage is another host; its client tells by that what it may follow.
            self.send_header(
                "Location", f"{hub.url.replace('127.0.0.1', 'localhost')}/storage/file"
            )
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_HEAD(self) -> None:
            hub.seen.append(f"HEAD {self.path}")
            if self.path.startswith("/storage/"):
                self._file(body=False)
            else:
                self._describe()

        def do_GET(self) -> None:
            hub.seen.append(f"GET {self.path} {self.headers.get('Range', '')}".strip())
            if self.path.startswith("/storage/"):
                self._file(body=True)
            else:
                self._describe()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
