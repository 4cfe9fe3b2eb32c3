"""The settings of a run as a checked model.

`Settings` itself knows keywords and the environment (`AGENT_*`, `OPENAI_*` where usual);
`agent.settings.sources` adds the repository's file and the user's. `agent.settings.table`
describes each setting.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Self

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from reapair.agent.settings.table import (
    SETTINGS,
    Accepted,
    Part,
    SandboxKind,
    Strategy,
    ToolProfile,
)

_KEY = re.compile(r"[!-~]+")
_HEADER_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_HEADER_VALUE = re.compile(r"[ -~]+")


def _field(name: str, **checks: Any) -> Any:
    setting = SETTINGS[name]
    return Field(default=setting.default, description=setting.help, **checks)


class Settings(BaseSettings):
    """Settings of a run. A value given by keyword wins over the environment.

    `reapair.load_settings` makes one that also knows the repository's file and the user's.
    """

    model_config = SettingsConfigDict(
        env_prefix="AGENT_",
        env_ignore_empty=True,
        extra="forbid",
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    base_url: str | None = _field(
        "base_url", validation_alias=AliasChoices("AGENT_BASE_URL", "OPENAI_BASE_URL")
    )
    api_key: SecretStr | None = _field(
        "api_key", validation_alias=AliasChoices("AGENT_API_KEY", "OPENAI_API_KEY")
    )
    headers: dict[str, SecretStr] = _field("headers")
    model: str | None = _field("model")
    sandbox: SandboxKind = _field("sandbox")
    image: str | None = _field("image")
    project: Path | None = _field("project")
    include: list[str] = _field("include")
    history: bool = _field("history")
    setup_command: str | None = _field("setup_command")
    test_command: str | None = _field("test_command")
    attempts: int = _field("attempts", ge=1, le=16)
    early_stop: bool = _field("early_stop")
    test: list[str] = _field("test")
    without_tests: bool = _field("without_tests")
    tools: ToolProfile = _field("tools")
    strategy: Strategy = _field("strategy")
    samples: int = _field("samples", ge=1, le=32)
    repairs: int = _field("repairs", ge=0, le=8)
    without: list[Part] = _field("without")
    prompts: Path | None = _field("prompts")
    max_steps: int = _field("max_steps", ge=1)
    max_minutes: float = _field("max_minutes", gt=0)
    max_tokens: int | None = _field("max_tokens", ge=1)
    rescue: bool = _field("rescue")
    accept: Accepted = _field("accept")
    patch: Path | None = _field("patch")
    apply: bool = _field("apply")
    pr: str | None = _field("pr")
    # "false" in a file or a variable is no name.
    branch: bool | str = _field("branch", union_mode="left_to_right")
    runs: Path | None = _field("runs")
    keep: bool = _field("keep")

    @field_validator("api_key")
    @classmethod
    def _clean_key(cls, key: SecretStr | None) -> SecretStr | None:
        """Return the key without the line end that files of secrets bring with them."""
        text = key.get_secret_value().strip() if key else ""
        if text and not _KEY.fullmatch(text):
            raise ValueError("A key has no blanks in it, and no letters beyond ASCII")
        return SecretStr(text) if text else None

    @field_validator("headers")
    @classmethod
    def _clean_headers(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        """Return the headers without blanks and line ends around names and values."""
        texts = {name.strip(): each.get_secret_value().strip() for name, each in headers.items()}
        for name, text in texts.items():
            if not (_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(text)):
                raise ValueError("Names and values of headers are printable ASCII in one line")
        return {name: SecretStr(text) for name, text in texts.items()}

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        """Refuse two logins for one server: only one of them could be sent."""
        if self.api_key and "@" in (self.base_url or "").partition("://")[2].partition("/")[0]:
            raise ValueError("The address holds a user, and there is a key too: keep one of them")
        return self
