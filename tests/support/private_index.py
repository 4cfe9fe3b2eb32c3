"""A package index and a proxy that want a login: real HTTP, on a free loopback port each."""

from __future__ import annotations

import base64
import hashlib
import io
import socket
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WHEEL = "planted-1-py3-none-any.whl"


def wheel() -> bytes:
    """Return a package with one module."""
    files = {
        "planted.py": "VALUE = 'installed from the private index'\n",
        "planted-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: planted\nVersion: 1\n",
        "planted-1.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        "planted-1.dist-info/RECORD": "planted.py,,\nplanted-1.dist-info/METADATA,,\n"
        "planted-1.dist-info/WHEEL,,\nplanted-1.dist-info/RECORD,,\n",
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return packed.getvalue()


@dataclass
class Server:
    """A server that keeps what it was asked, as (method, path, login)."""

    http: ThreadingHTTPServer
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def place(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.http.server_port}"

    def __enter__(self) -> Server:
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()


def private_index(user: str, password: str) -> Server:
    """Return an index whose page links to its file in three ways, all to be followed with login."""
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    data = wheel()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            login = self.headers.get("Authorization", "")
            server.asked.append((self.command, self.path, login))
            if login != wanted:
                self._send(401, b"no", "text/plain")
            elif self.path.endswith(".whl"):
                self._send(200, data, "application/octet-stream")
            elif self.path.endswith("/echo"):
                self._send(200, f"{self.headers}{password}".encode(), "text/plain")
            else:
                self._send(200, self._page(), "text/html")

        def _page(self) -> bytes:
            digest = hashlib.sha256(data).hexdigest()
            places = (f"http://{server.place}/files", "/files", "../../files")
            return "".join(f'<a href="{p}/{WHEEL}#sha256={digest}">x</a>' for p in places).encode()

        def do_POST(self) -> None:
            server.asked.append((self.command, self.path, self.headers.get("Authorization", "")))
            self._send(200, b"published", "text/plain")

        do_PUT = do_DELETE = do_POST  # noqa: N815

        def _send(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = Server(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
    return server


def private_proxy(user: str, password: str) -> Server:
    """Return a proxy for CONNECT and plain requests that wants a login; it answers by itself."""
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            if self._refused():
                return
            host, _, port = self.path.partition(":")
            with socket.create_connection((host, int(port)), 5) as upstream:
                self.send_response(200)
                self.end_headers()
                upstream.sendall(self.connection.recv(65536))
                while data := upstream.recv(65536):
                    self.connection.sendall(data)

        def do_GET(self) -> None:
            if not self._refused():
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"through the proxy")

        def _refused(self) -> bool:
            login = self.headers.get("Proxy-Authorization", "")
            server.asked.append((self.command, self.path, login))
            if login == wanted:
                return False
            self.send_response(407)
            self.end_headers()
            return True

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = Server(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
    return server
