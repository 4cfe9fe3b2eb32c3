"""Removes secrets and personal names from texts that leave the machine."""

from __future__ import annotations

import getpass
import re
from pathlib import Path
from typing import Any

from reapair.sandbox.secrets import HIDDEN

_KEYS = (
    r"\b(?:sk|rk|pk)-[A-Za-z0-9_-]{20,}",
    r"\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}",
    r"\bgh[oprsu]_[A-Za-z0-9]{36,}",
    r"\bgithub_pat_\w{22,}",
    r"\bglpat-[\w-]{20,}",
    r"\bxox[abeprs]-[A-Za-z0-9-]{10,}",
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    r"\bAIza[\w-]{35}",
    r"\bhf_[A-Za-z0-9]{30,}",
    r"\bnpm_[A-Za-z0-9]{36}",
    r"\bpypi-[\w-]{50,}",
    r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
    r"(?<=-----BEGIN PRIVATE KEY-----)(?:[A-Za-z0-9+/=\s]|\\n)+",
    r"(?<=-----BEGIN RSA PRIVATE KEY-----)(?:[A-Za-z0-9+/=\s]|\\n)+",
    r"(?<=-----BEGIN OPENSSH PRIVATE KEY-----)(?:[A-Za-z0-9+/=\s]|\\n)+",
    r"(?<=-----BEGIN EC PRIVATE KEY-----)(?:[A-Za-z0-9+/=\s]|\\n)+",
    r"(?i:(?<=\bbearer ))[A-Za-z0-9._~+/-]{20,}=*",
    r"(?<=://)[^/@:\s\"'\\]+:[^/@\s\"'\\]+(?=@)",
)

_NAMED = re.compile(
    r"(?i)((?:api_?key|secret|token|passw(?:or)?d)\w*\\?[\"']?\s*[:=]\s*\\?[\"']?)"
    r"(?=[\w+/-]*\d)(?=[\w+/-]*[a-z])[\w+/-]{24,}"
)
"""A value with letters and digits under a name that marks a secret."""

_ORDINARY_NAMES = frozenset({"admin", "agent", "app", "code", "git", "python", "root", "test"})
_ORDINARY_NAMES |= {"runner", "ubuntu", "user", "vagrant", "work", "worker"}
"""Names of users that identify nobody and are ordinary words."""


class Scrubber:
    """Replaces secrets, the repository's place, home directories and the user's name.

    Args:
        repository: top of the work tree that a run was made in; "" when not known.

    `found` counts what was replaced.
    """

    def __init__(self, repository: str = "") -> None:
        self.found = 0
        self._keys = re.compile("|".join(_KEYS))
        homes = [str(Path.home()), *_home_of(repository)]
        places = [(repository, "/repository"), *((home, "~") for home in homes)]
        names = {getpass.getuser(), *(Path(home).name for home in homes)}
        self._words = [
            (re.compile(rf"(?<![\w/.-]){re.escape(place)}(?![\w-])"), new)
            for place, new in places
            if place.count("/") > 1
        ] + [
            (re.compile(rf"(?<!\w){re.escape(name)}(?!\w)"), "user")
            for name in sorted(names - _ORDINARY_NAMES)
            if len(name) > 2
        ]

    def text(self, text: str) -> str:
        """Return a text without what must not leave."""
        text, keys = self._keys.subn(HIDDEN, text)
        text, named = _NAMED.subn(rf"\g<1>{HIDDEN}", text)
        self.found += keys + named
        for pattern, new in self._words:
            text, count = pattern.subn(new, text)
            self.found += count
        return text

    def value(self, value: Any) -> Any:
        """Return a JSON value with all its texts scrubbed; keys stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {key: self.value(item) for key, item in value.items()}
        return value


def _home_of(repository: str) -> list[str]:
    """Return the home that a repository lies in, which may be another machine's."""
    found = re.match(r"/(?:home|Users)/[^/]+", repository)
    return [found[0]] if found else []
