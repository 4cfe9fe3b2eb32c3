"""Keeping secrets out of what is stored and shown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from reapair.agent.settings.settings import Settings

HIDDEN = "***"

SHORTEST = 8
"""Shorter keys are not looked for in texts: replacing `none` or `test` would spoil the log."""

FORGE_TOKENS = (
    *("GITHUB_TOKEN", "GH_TOKEN", "GITLAB_TOKEN", "CI_JOB_TOKEN"),
    *("ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
)
"""Variables of the environment that hold what may change things at a forge."""

_WITH_USER = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_QUERY_VALUE = re.compile(r"(?<==)[^&]+")


def public_url(url: str) -> str:
    """Return an address without user, password and the values of its query."""
    parts = urlsplit(url)
    return _WITH_USER.sub(
        HIDDEN, urlunsplit(parts._replace(query=_QUERY_VALUE.sub(HIDDEN, parts.query)))
    )


def secrets_of(settings: Settings) -> list[str]:
    """Return the secrets that settings hold, in every form that an error message may show."""
    found = [settings.api_key.get_secret_value()] if settings.api_key else []
    found += [value.get_secret_value() for value in settings.headers.values()]
    parts = urlsplit(settings.base_url or "")
    found += [parts.password or "", *_QUERY_VALUE.findall(parts.query)]
    if parts.username and not parts.password:  # A token in the user's place.
        found.append(parts.username)
    found += [os.environ.get(name, "") for name in FORGE_TOKENS]
    return [secret for each in found for secret in {each, unquote(each)} if len(each) >= SHORTEST]


def without(secrets: Iterable[str], value: Any) -> Any:
    """Return a JSON value with every secret in its texts replaced."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, HIDDEN)
        return value
    if isinstance(value, list | tuple):
        return [without(secrets, item) for item in value]
    if isinstance(value, dict):
        return {key: without(secrets, item) for key, item in value.items()}
    return value
