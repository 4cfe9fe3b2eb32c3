"""Read the host's proxies and package indexes from its variables and pip's files."""

from __future__ import annotations

import configparser
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reapair.sandbox.gateway.addresses import Address, parse, secrets_in

_PROXIES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
    "PIP_PROXY",
)
_INDEXES = (
    *("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"),
    *("NPM_CONFIG_REGISTRY", "npm_config_registry", "GOPROXY"),
)
_HOSTS = ("NO_PROXY", "no_proxy", "PIP_TRUSTED_HOST")
_PIP = ("index-url", "extra-index-url", "trusted-host", "proxy")
_FILE_LIMIT = 256 * 1024

_HOST = re.compile(r"[\w.*:\[\]/-]+")
_NAMED = re.compile(r"[\w.-]+=(?=\w+://)")
_LOCAL = ("file:", "/", ".")
_GO_WORDS = ("direct", "off")
# Without user, query and fragment; what it means is not ours to know.
_PLAIN = re.compile(r"[a-z][a-z\d+.-]*://[\w.\[\]:-]+/?")


class Gate(Protocol):
    """Exchanges addresses with secrets for addresses without."""

    host: str
    place: str

    def index(self, address: Address) -> str:
        """Return the address by which to reach a package index."""

    def proxy(self, address: Address) -> str:
        """Return the address of a proxy that forwards to the given one."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a setting: `before` and an address, or a word that may be passed on."""

    before: str
    word: str = ""
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class HostSettings:
    """The host's settings, parsed.

    Attributes:
        parts: those of each variable.
        unclear: variables that are not passed on, because what they hold is not understood.
    """

    parts: dict[str, list[Part]]
    unclear: dict[str, str]

    @classmethod
    def read(cls) -> HostSettings:
        """Return the settings of this process's environment and the user's files."""
        parts: dict[str, list[Part]] = {}
        unclear = {}
        for name, value in _values().items():
            found = [_part(name, piece) for piece in _pieces(name, value)]
            known = [part for part in found if part is not None]
            if len(known) < len(found):
                unclear[name] = value
            elif any(part.word or part.address for part in known):
                parts[name] = known
        return cls(parts, unclear)

    def proxies(self) -> HostSettings:
        """Return the settings of proxies only."""
        names = (*_PROXIES, "NO_PROXY", "no_proxy")
        return HostSettings({n: p for n, p in self.parts.items() if n in names}, {})

    def secret_names(self) -> list[str]:
        """Return the names of variables that hold a secret."""
        return [name for name, parts in self.parts.items() if any(map(_is_secret, parts))]

    def secrets(self) -> list[str]:
        """Return every secret text in them."""
        known = [
            secret
            for parts in self.parts.values()
            for part in parts
            if part.address
            for secret in part.address.secrets()
        ]
        for value in self.unclear.values():
            bare = [f"any://{word}" for word in re.split(r"[\s,|]+", value) if "://" not in word]
            known += secrets_in(" ".join([value, *bare]))
        return known

    def variables(self, gate: Gate | None) -> dict[str, str]:
        """Return the variables for a set-up command; addresses with secrets go through the gate.

        Without a gate no setting may hold a secret.
        """
        found = {
            name: "".join(_passed_on(name, part, gate) for part in parts).strip()
            for name, parts in self.parts.items()
        }
        if gate is None:
            return found
        for name, value in (
            *(("NO_PROXY", gate.host), ("no_proxy", gate.host)),
            ("PIP_TRUSTED_HOST", gate.place),
        ):
            separator = " " if name.startswith("PIP") else ","
            found[name] = separator.join(filter(None, (found.get(name), value)))
        return found


def _is_secret(part: Part) -> bool:
    return part.address is not None and part.address.is_secret


def _passed_on(name: str, part: Part, gate: Gate | None) -> str:
    address = part.address
    if address is None or not address.is_secret:
        return part.before + (part.word or (address.origin + address.path if address else ""))
    if gate is None:
        raise ValueError(f"{name} holds a secret")
    return part.before + (gate.proxy(address) if name in _PROXIES else gate.index(address))


def _pieces(name: str, value: str) -> list[tuple[str, str]]:
    """Return the words of a setting, each with the separator before it."""
    separator = r"([,|\s]+)" if name in ("GOPROXY", *_HOSTS) else r"(\s+)"
    words = re.split(separator, value.strip())
    return list(zip(["", *words[1::2]], words[::2], strict=True))


def _part(name: str, piece: tuple[str, str]) -> Part | None:
    """Return a piece of a setting; None unless it certainly holds no secret."""
    before, word = piece
    if name in _HOSTS:
        return Part(before, word) if _HOST.fullmatch(word) or not word else None
    if not word or word in _GO_WORDS:
        return Part(before, word)
    if word.startswith(_LOCAL):  # Directories of the host mean nothing inside.
        return Part("")
    if name in _PROXIES and "://" not in word:
        word = f"http://{word}"
    named = _NAMED.match(word)
    label = named[0] if named else ""
    word = word.removeprefix(label)
    if address := parse(word):
        return Part(before + label, address=address)
    return Part(before + label, word) if _PLAIN.fullmatch(word) else None


def _values() -> dict[str, str]:
    """Return the existing settings by the names of their variables."""
    found = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in _pip_files()}
    for name in (*_PROXIES, *_INDEXES, *_HOSTS):
        if value := os.environ.get(name):
            found[name] = value
    return found


def _pip_files() -> Iterator[tuple[str, str]]:
    """Yield the settings in pip's files, the weaker first, without running pip.

    A repository must not answer for pip, so nothing is looked for in the current directory.
    """
    for file in _pip_places():
        parser = configparser.RawConfigParser(strict=False)
        try:
            with open(file, encoding="utf-8") as opened:
                parser.read_string(opened.read(_FILE_LIMIT))
        except (OSError, ValueError, configparser.Error):
            continue
        for section in sorted(parser.sections(), key=lambda name: name != "global"):
            for name in _PIP:
                if value := parser.get(section, name, fallback=""):
                    yield name, value


def _pip_places() -> Iterator[Path]:
    home, own = Path.home(), os.environ.get("PIP_CONFIG_FILE")
    if own == os.devnull:  # Which means none at all.
        return
    for folder in reversed(os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")):
        yield Path(folder or "/etc/xdg", "pip/pip.conf")
    yield Path("/etc/pip.conf")
    yield home / ".pip/pip.conf"
    if sys.platform == "darwin":
        yield home / "Library/Application Support/pip/pip.conf"
    yield Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config", "pip/pip.conf")
    yield Path(sys.prefix, "pip.conf")
    if own:
        yield Path(own)
