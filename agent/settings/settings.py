"""What a user can set. `Settings` itself knows keywords and the environment (`AGENT_*`, `OPENAI_*`
where usual); `agent.config` adds the repository's file and the user's.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Strategy = Literal["auto", "guided", "loop"]
SandboxKind = Literal["auto", "docker", "podman", "bubblewrap", "none"]


_KEY = re.compile(r"[!-~]+")
_HEADER_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_HEADER_VALUE = re.compile(r"[ -~]+")


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

    base_url: str | None = Field(
        default=None, validation_alias=AliasChoices("AGENT_BASE_URL", "OPENAI_BASE_URL")
    )
    """OpenAI-compatible endpoint; None looks for a server on the usual local ports."""

    api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("AGENT_API_KEY", "OPENAI_API_KEY")
    )
    """Sent to `base_url` only, never to a server that was found by looking."""

    headers: dict[str, SecretStr] = {}
    """More HTTP headers for `base_url`, by name; never stored, never shown."""

    model: str | None = None
    """Model name; None takes the one the server has."""

    sandbox: SandboxKind = "auto"
    """Where commands run; `auto` takes the first of Docker, podman, bubblewrap that works."""

    image: str | None = None
    """Container image to work in, or the path of a Dockerfile (`./Dockerfile`) to build; None takes
    our own base image."""

    project: Path | None = None
    """Folder whose nearest project, upwards, is set up and tested; None: the current one."""

    include: list[str] = []
    """Patterns, as in .gitignore, for ignored files that go into the sandbox too."""

    history: bool = True
    """Give the sandbox the newest commits and tags; else one commit with the files."""

    setup_command: str | None = None
    """Run once with network before the first step, to install what the tests need."""

    test_command: str | None = None
    """Runs the whole suite; None finds the runner by itself."""

    strategy: Strategy = "auto"
    """`guided`: the program finds the place and the test, the model only writes the change; `loop`:
    the model decides, with tools; `auto`: the first where it fits, then the second."""

    samples: int = Field(default=8, ge=1, le=32)
    """Guided: answers drawn at most for one function."""

    repairs: int = Field(default=2, ge=0, le=8)
    """Guided: further tries at a function with the output of the test that still fails."""

    without: list[Literal["execution", "reproduction", "values"]] = []
    """Guided: parts to leave out, to measure what they are worth."""

    attempts: int = Field(default=1, ge=1, le=16)
    """Attempts at the issue, as many at once as the server can hold; the best proved one counts."""

    early_stop: bool = True
    """Of several attempts end the others as soon as one is proved with a small change."""

    test: list[str] = []
    """Ids of tests that show the problem: they must fail before the change and pass with it."""

    without_tests: bool = False
    """Leave the tests that come with the change out of what is handed over."""

    tools: Literal["standard", "swe-smith", "bash"] = "standard"
    """What the model works with: our tools, those of SWE-smith's trajectories, or bash alone."""

    prompts: Path | None = None
    """Directory with prompts that replace ours, file by file (`issue.md`, `system.md`)."""

    max_steps: int = Field(default=75, ge=1)
    """Steps (one model turn and its tool calls) before the tree is taken as it is."""

    max_minutes: float = Field(default=120, gt=0)
    """Minutes before the tree is taken as it is."""

    max_tokens: int | None = Field(default=None, ge=1)
    """Tokens of all prompts and answers before the tree is taken as it is; None: no limit."""

    rescue: bool = True
    """Ask again after a bad answer and take calls from the text they were left in; False, for
    training, ends the run there: each answer in it is then the model's first."""

    accept: Literal["proved", "regression_free"] = "proved"
    """The weakest verdict that exits with 0."""

    patch: Path | None = None
    """Write the patch here and make no branch."""

    apply: bool = False
    """Put the change into the work tree and make no branch."""

    pr: str | None = None
    """Address of the issue on GitHub to open a draft pull request for, beside the branch."""

    branch: bool = True
    """Make a branch of the change where neither `patch` nor `apply` is asked for."""

    runs: Path | None = None
    """Directory that keeps the runs; None takes the user's state directory."""

    keep: bool = True
    """Keep the run's directory; False removes it once there is a result, which then has it all."""

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
