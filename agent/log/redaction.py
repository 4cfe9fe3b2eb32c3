"""The secrets of a run: what is kept out of all that is stored and shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reapair.sandbox.environment import host_secrets
from reapair.sandbox.gateway.addresses import secrets_in
from reapair.sandbox.secrets import header_secrets

if TYPE_CHECKING:
    from reapair.agent.settings.settings import Settings

FORGE_TOKENS = (
    *("GITHUB_TOKEN", "GH_TOKEN", "GITLAB_TOKEN", "CI_JOB_TOKEN"),
    *("ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
)
"""Variables of the environment that hold what may change things at a forge."""


def secrets_of(settings: Settings) -> list[str]:
    """Return the secrets that a run can come across: of its settings and of its environment."""
    found = [settings.api_key.get_secret_value()] if settings.api_key else []
    for value in settings.headers.values():
        found += header_secrets(value.get_secret_value())
    for text in (settings.base_url, settings.setup_command, settings.test_command):
        found += secrets_in(text or "")
    found += [os.environ.get(name, "").strip() for name in FORGE_TOKENS]
    return [secret for secret in (*found, *host_secrets()) if secret]
