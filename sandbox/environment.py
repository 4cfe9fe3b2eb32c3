"""Installing what a repository needs, once, before the model's first word."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reapair.sandbox.base import Kind, Sandbox, SandboxError

SETUP_SECONDS = 1800.0
"""Longest that a set-up command may run."""

PYTEST_SETUP = "pip install --retries 1 --timeout 15 pytest"
"""What the plain base image gets when nobody names a set-up command."""


class SetupError(SandboxError):
    """The set-up command failed. `tail` is the end of its output, and in the message as well."""

    def __init__(self, message: str, tail: str = "") -> None:
        super().__init__(message)
        self.tail = tail


@dataclass(frozen=True, slots=True)
class Environment:
    """What the sandboxes of a run find installed.

    `reference` is the engine's own name for it (an image, a directory, or "" for what is there
    anyway); `reused` is True when an earlier run had made it.
    """

    reference: str
    reused: bool = False


class Engine(ABC):
    """One way to get sandboxes: prepares their environment, makes them, tidies up behind them."""

    kind: Kind

    @abstractmethod
    def check(self) -> None:
        """Run one command in a sandbox. Raises SandboxError with the reason when that fails."""

    def worked(self) -> bool:
        """Say whether the check has succeeded already with the very same engine and image."""
        return False

    def distrust(self) -> None:  # noqa: B027 - most engines remember nothing
        """Forget that it worked: a sandbox could not be started."""

    @abstractmethod
    def prepare(
        self,
        key: bytes,
        setup_command: str | None,
        fill: Callable[[Sandbox], None],
        on_output: Callable[[str], None],
    ) -> Environment:
        """Install what the repository needs, or find what an earlier run has installed.

        Args:
            key: everything about the repository that the result depends on (its manifests).
            setup_command: a script for bash; it has network, the sources and an empty home.
            fill: puts the sources into a sandbox.
            on_output: is told what happens, line by line.

        Raises SetupError when the command fails or takes longer than SETUP_SECONDS.
        """

    @abstractmethod
    def sandbox(self, environment: Environment, run_id: str) -> Sandbox:
        """Return a sandbox with this environment, not started."""

    @abstractmethod
    def sweep(self) -> None:
        """Remove what owners that died on this host have left behind, and nothing else."""

    def caveats(self) -> list[str]:
        """Return what people should know about sandboxes of this engine, one line each."""
        return []


def environment_key(base: str, setup_command: str, key: bytes) -> str:
    """Return the name under which an environment is kept."""
    parts = (base.encode(), setup_command.encode(), key)
    return hashlib.sha256(b"".join(b"%d:" % len(part) + part for part in parts)).hexdigest()[:20]


def install(sandbox: Sandbox, command: str, fill: Callable[[Sandbox], None], private: str) -> None:
    """Run a set-up command over the sources, then take the sources away again.

    What it makes beside them (`*.egg-info`, compiled modules) stays in the workspace.

    Args:
        sandbox: started, with network.
        private: a directory inside that is not kept; certificates of the host go there.

    Raises SetupError.
    """
    fill(sandbox)
    _must(sandbox, f"find . -mindepth 1 ! -type d -print0 > {private}/sources")
    variables = host_settings() | _QUIET
    if bundle := _certificates():
        place = f"{private}/certificates.pem"
        sandbox.write(place, bundle)
        variables |= dict.fromkeys(_CERTIFICATE_VARIABLES, place)
    result = sandbox.exec(f"exec 2>&1\n{command}", timeout=SETUP_SECONDS, env=variables)
    if not result.ok:
        how = "took too long" if result.timed_out else f"failed with exit code {result.exit_code}"
        raise SetupError(
            f"The set-up command {how}: {command}\n{_tail(result.stdout)}\n"
            "Correct it with --setup-command, or name an image that has everything with --image.",
            _tail(result.stdout),
        )
    _must(
        sandbox,
        f"xargs -0 rm -f -- < {private}/sources && rm -rf .git {private}/*"
        " && find . -depth -mindepth 1 -type d -empty -delete",
    )


def _must(sandbox: Sandbox, script: str) -> None:
    result = sandbox.exec(script, timeout=300)
    if not result.ok:
        raise SetupError(f"The workspace could not be set up: {_tail(result.stderr)}")


def _tail(output: bytes, lines: int = 20) -> str:
    return "\n".join(output.decode("utf-8", "replace").rstrip().split("\n")[-lines:])


_HOST_VARIABLES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"),
    *("NPM_CONFIG_REGISTRY", "npm_config_registry", "GOPROXY"),
)

_QUIET = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_PROGRESS_BAR": "off",
    "PIP_NO_CACHE_DIR": "1",
    "DEBIAN_FRONTEND": "noninteractive",
}

_PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy")

_CERTIFICATE_VARIABLES = (
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE"),
    *("NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO"),
)


def host_settings() -> dict[str, str]:
    """Return the host's proxies and package indexes as variables for the set-up command."""
    found = {name: os.environ[name] for name in _HOST_VARIABLES if os.environ.get(name)}
    # Isolated, and away from the current directory: a repository must not answer for pip.
    listing = subprocess.run(
        [sys.executable, "-I", "-m", "pip", "config", "list"],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    ).stdout
    for line in listing.splitlines():
        name, _, quoted = line.partition("=")
        setting = name.rpartition(".")[2]
        if setting in _PIP_SETTINGS:
            # Directories of the host mean nothing inside.
            values = [v for v in str(ast.literal_eval(quoted)).split() if not _local(v)]
            if values:
                found["PIP_" + setting.upper().replace("-", "_")] = " ".join(values)
    return found


def _local(value: str) -> bool:
    return value.startswith(("file:", "/", "."))


def _certificates() -> bytes:
    for name in _CERTIFICATE_VARIABLES[:4]:
        path = os.environ.get(name)
        if path and Path(path).is_file():
            return Path(path).read_bytes()
    return b""
