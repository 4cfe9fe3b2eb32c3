"""Forward a request to another proxy, with the proxy's login added."""

from __future__ import annotations

import select
import socket
import ssl
from email.message import Message

from reapair.sandbox.gateway.addresses import Address

_CONNECT_SECONDS = 15.0
_IDLE_SECONDS = 300.0
_CHUNK = 64 * 1024
_HOP_BY_HOP = ("proxy-authorization", "proxy-connection", "connection", "keep-alive")


def forward(
    client: socket.socket, method: str, target: str, headers: Message, proxy: Address
) -> None:
    """Send a request's head through a proxy, then forward bytes in both directions.

    Raises OSError when the proxy cannot be reached.
    """
    with _connected(proxy) as upstream:
        lines = [f"{method} {target} HTTP/1.1"]
        for name, value in headers.items():
            if name.lower() not in _HOP_BY_HOP:
                lines.append(f"{name}: {' '.join(value.split())}")  # a folded one too is one line
        if authorization := proxy.authorization:
            lines.append(f"Proxy-Authorization: {authorization}")
        if method != "CONNECT":
            lines.append("Connection: close")
        upstream.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        _relay(client, upstream)


def _connected(proxy: Address) -> socket.socket:
    plain = socket.create_connection((proxy.host, proxy.port), _CONNECT_SECONDS)
    if proxy.scheme == "http":
        return plain
    return ssl.create_default_context().wrap_socket(plain, server_hostname=proxy.host)


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Forward bytes both ways until one side closes or nothing comes for long."""
    for end in (one, other):
        end.settimeout(_IDLE_SECONDS)
    while True:
        pending = isinstance(other, ssl.SSLSocket) and other.pending()
        ready = [other] if pending else select.select([one, other], [], [], _IDLE_SECONDS)[0]
        if not ready:
            return
        for end in ready:
            try:
                data = end.recv(_CHUNK)
            except OSError:
                return
            if not data:
                return
            (other if end is one else one).sendall(data)
