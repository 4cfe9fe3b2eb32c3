"""Hide secrets in texts, in every form in which they can occur."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "***"

SHORTEST = 8
"""Shorter secrets are not replaced in texts: replacing `none` or `test` would spoil the log."""


class Redaction:
    """Replaces secrets in texts and in JSON values, in any form and case."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Replace these too, in all their forms, from now on."""
        self._forms |= {form for secret in secrets for form in forms(secret)}
        # The longest first: a part must not be replaced where the whole stands.
        ordered = sorted(self._forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered)), re.I) if ordered else None

    def text(self, text: str) -> str:
        """Return the text with every secret replaced. Shorten a text only afterwards."""
        return self._pattern.sub(HIDDEN, text) if self._pattern else text

    def value(self, value: Any) -> Any:
        """Return a JSON value with every secret in its texts and keys replaced."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.value(key): self.value(item) for key, item in value.items()}
        return value


def forms(secret: str) -> set[str]:
    """Return all forms of a secret; none for one that is too short."""
    found: set[str] = set()
    for plain in {secret, unquote(secret)}:
        if len(plain) < SHORTEST:
            continue
        data = plain.encode("utf-8", "surrogateescape")
        found |= {plain, quote(plain, safe=""), quote(plain), quote_plus(plain), html.escape(plain)}
        found |= {json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1]}
        found |= {repr(plain)[1:-1], data.hex(), *_in_base64(data)}
    return {form for form in found if len(form) >= SHORTEST}


def header_secrets(value: str) -> list[str]:
    """Return the secrets in a header's value: all of it, and the part after its scheme."""
    found = [value, *value.split()[1:]]
    if value.lower().startswith("basic "):
        with contextlib.suppress(ValueError):
            login = base64.b64decode(value.split()[1]).decode("utf-8", "surrogateescape")
            found += [login, login.partition(":")[2]]
    return found


def basic(user: str, password: str) -> str:
    """Return the Basic authorisation of a user and a password."""
    return base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _in_base64(data: bytes) -> Iterator[str]:
    """Yield the parts common to all base64 texts of data that contains these bytes."""
    for before in range(3):
        # The letters at both ends that also depend on the bytes around are left out.
        first, last = (0, 2, 3)[before], (before + len(data)) * 4 // 3
        encoded = base64.b64encode(b"\0" * before + data)[first:last].decode("ascii")
        yield encoded
        yield encoded.translate({ord("+"): "-", ord("/"): "_"})
