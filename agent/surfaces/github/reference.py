"""Which issue of which GitHub is meant, where its API is, and which token belongs to it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

GITHUB = "https://github.com"

TOKENS = ("GITHUB_TOKEN", "GH_TOKEN")
"""Variables that may hold the token, the first that is set counts."""

_NAME = r"[A-Za-z0-9_.-]{1,100}"
_NUMBER = re.compile(r"#?(\d{1,9})")
_SHORT = re.compile(rf"({_NAME}/{_NAME})#(\d{{1,9}})")
_ADDRESS = re.compile(
    rf"(https?://[A-Za-z0-9.-]+(?::\d+)?)/({_NAME}/{_NAME})/(?:issues|pull)/(\d{{1,9}})(?:[?#].*)?"
)
_REMOTE = re.compile(
    rf"(?:(https?://)(?:[^/@]*@)?|(?:ssh://)?[^/@]+@)([A-Za-z0-9.-]+(?::\d+)?)[:/]({_NAME}/{_NAME})"
)


class NoSuchPlaceError(Exception):
    """A reference that leads nowhere. The message says what to give instead."""


class Reference(NamedTuple):
    """An issue: the server's address, `owner/name` and the number."""

    server: str
    repository: str
    number: int

    @property
    def url(self) -> str:
        """The address of the issue's page."""
        return f"{self.server}/{self.repository}/issues/{self.number}"


def parse(text: str, directory: Path) -> Reference | None:
    """Read `123`, `#123`, `owner/repo#123` or an issue's address; None when it is none of them.

    Args:
        text: what the user typed.
        directory: whose repository's `origin` a bare number belongs to.

    Raises NoSuchPlaceError when a bare number belongs to no repository on GitHub.
    """
    text = text.strip()
    if found := _ADDRESS.fullmatch(text):
        return Reference(found[1], found[2], int(found[3]))
    if found := _SHORT.fullmatch(text):
        return Reference(own_server(), found[1], int(found[2]))
    if found := _NUMBER.fullmatch(text):
        server, repository = home(directory)
        return Reference(server, repository, int(found[1]))
    return None


def home(directory: Path) -> tuple[str, str]:
    """Return server and `owner/name` of the repository that `directory` is a clone of.

    Raises NoSuchPlaceError when there is none.
    """
    from reapair.sandbox.git.repository import Repository
    from reapair.sandbox.git.run_git import GitError

    if named := os.environ.get("GITHUB_REPOSITORY"):
        return own_server(), named
    try:
        remote = Repository.find(directory).git("config", "--get", "remote.origin.url")
    except GitError:
        remote = b""
    address = remote.decode("utf-8", "replace").strip().removesuffix("/").removesuffix(".git")
    if found := _REMOTE.fullmatch(address):
        return f"{found[1] or 'https://'}{found[2]}", found[3]
    raise NoSuchPlaceError(
        "This repository's origin is not on GitHub, so a number alone names no issue. "
        "Give owner/repo#123 or the issue's address."
    )


def own_server() -> str:
    """Return the server that the environment speaks of: GitHub Actions sets it."""
    return os.environ.get("GITHUB_SERVER_URL", "").rstrip("/") or GITHUB


def api_url(server: str) -> str:
    """Return where a server's API is: github.com, a tenant of ghe.com, or GitHub Enterprise.

    Raises NoSuchPlaceError for an address without TLS that is not this machine's.
    """
    parts = urlsplit(server)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost"):
        raise NoSuchPlaceError(f"{server} is not asked without TLS. Give an https:// address.")
    if server == own_server() and (told := os.environ.get("GITHUB_API_URL")):
        return told.rstrip("/")
    if server == GITHUB or (parts.hostname or "").endswith(".ghe.com"):
        return f"https://api.{parts.netloc}"
    return f"{server}/api/v3"


def token_for(server: str) -> str | None:
    """Return the user's token for a server, None to ask without.

    `GITHUB_TOKEN` was given for the environment's server and goes to no other; for the others the
    `gh` command is asked.
    """
    if server == own_server():
        for name in TOKENS:
            if token := os.environ.get(name, "").strip():
                return token
    command = shutil.which("gh")
    if command is None or not Path(command).is_absolute():
        return None
    host = urlsplit(server).netloc
    try:
        done = subprocess.run(
            [command, "auth", "token", "--hostname", host],
            capture_output=True,
            text=True,
            timeout=10,
            cwd="/",
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
