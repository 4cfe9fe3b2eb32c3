"""Parse addresses from the host's settings and find the secrets in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from reapair.sandbox.secrets import HIDDEN, basic

_DEFAULT_PORTS = {"http": 80, "https": 443}
# A token in a path is long and mixes letters with digits; taking a name for one does no harm.
_LOOKS_SECRET = re.compile(r"(?=(?:[^/\d]*\d){2})(?=[^/]*[A-Za-z])[\w~%=+-]{14,}|[\w~%=+-]{32,}")
_WITH_USER = re.compile(r"(?<=://)[^/\s]+(?=@)")
_QUERY_VALUE = re.compile(r"(?<==)[^&]+")


@dataclass(frozen=True, slots=True)
class Address:
    """An HTTP address. `place` is host and port as written, without user."""

    scheme: str
    place: str
    host: str
    port: int
    path: str
    query: str
    user: str
    password: str

    @property
    def origin(self) -> str:
        """The address without user, path and query."""
        return f"{self.scheme}://{self.place}"

    @property
    def authorization(self) -> str:
        """The value of the authorisation header; empty without a user."""
        if not (self.user or self.password):
            return ""
        return f"Basic {basic(unquote(self.user), unquote(self.password))}"

    @property
    def hidden_parts(self) -> tuple[str, ...]:
        """The parts of the path that look like tokens."""
        parts = dict.fromkeys(self.path.split("/"))
        return tuple(part for part in parts if _LOOKS_SECRET.fullmatch(part))

    @property
    def is_secret(self) -> bool:
        """Whether anything in it is secret."""
        return bool(self.user or self.password or self.query or self.hidden_parts)

    def secrets(self) -> list[str]:
        """Return every secret text in it."""
        found = [*self.hidden_parts, *(value for _, value in parse_qsl(self.query))]
        if self.user or self.password:
            found += [self.password or self.user, f"{self.user}:{self.password}@"]
            found += [self.authorization.removeprefix("Basic ")]
        return found


def parse(text: str) -> Address | None:
    """Return a text as an address; None for anything that is not clearly one."""
    try:
        parts = urlsplit(text)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    if not (parts.scheme in _DEFAULT_PORTS and parts.hostname) or parts.fragment:
        return None
    userinfo, _, place = parts.netloc.rpartition("@")
    if not re.fullmatch(r"[\w.-]+(:\d+)?|\[[\da-fA-F:.]+\](:\d+)?", place):
        return None
    user, _, password = userinfo.partition(":")
    host, path = parts.hostname, parts.path
    return Address(parts.scheme, place, host, port, path, parts.query, user, password)


def secrets_in(text: str) -> list[str]:
    """Return the secrets of all addresses, of any kind, anywhere in a text."""
    found: list[str] = []
    for each in re.findall(r"[\w+.-]+://[^\s'\"<>]+", text):
        if address := parse(each):
            found += address.secrets()
        elif login := re.match(r"[\w+.-]+://([^/]*)@", each):
            found += [login[1] + "@", login[1].partition(":")[2]]
    return found


def public_url(url: str) -> str:
    """Return an address without user, password and query values."""
    parts = urlsplit(url)
    return _WITH_USER.sub(
        HIDDEN, urlunsplit(parts._replace(query=_QUERY_VALUE.sub(HIDDEN, parts.query)))
    )
