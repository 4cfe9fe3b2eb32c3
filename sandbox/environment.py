"""Install a repository's dependencies, once, before the first request to the model."""

from __future__ import annotations

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reapair.sandbox.base import ExecResult, Kind, Sandbox, SandboxError
from reapair.sandbox.gateway.host_settings import HostSettings
from reapair.sandbox.secrets import Redaction

SETUP_SECONDS = 1800.0
"""Time limit of a set-up command."""

PYTEST_SETUP = "pip install --retries 1 --timeout 15 pytest"
"""Set-up command for the plain base image when neither user nor repository has one."""


class SetupError(SandboxError):
    """The set-up command failed. `tail` is the end of its output; the message has it too."""

    def __init__(self, message: str, tail: str = "") -> None:
        super().__init__(message)
        self.tail = tail


@dataclass(frozen=True, slots=True)
class Environment:
    """What is installed in the sandboxes of a run.

    `reference` is the engine's name for it (an image, a directory, or "" when nothing was
    installed); `reused` is True when an earlier run made it.
    """

    reference: str
    reused: bool = False


class Engine(ABC):
    """One kind of sandboxes: prepares their environment, makes them, removes what is left over."""

    kind: Kind

    @abstractmethod
    def check(self) -> None:
        """Run one command in a sandbox. Raises SandboxError with the reason when that fails."""

    def worked(self) -> bool:
        """Return whether the check has already passed with the same engine and image."""
        return False

    def distrust(self) -> None:  # noqa: B027 - most engines remember nothing
        """Forget that the check passed, because a sandbox could not be started."""

    @abstractmethod
    def prepare(
        self,
        key: bytes,
        setup_command: str | None,
        fill: Callable[[Sandbox], None],
        on_output: Callable[[str], None],
    ) -> Environment:
        """Install what the repository needs, or return what an earlier run installed.

        Args:
            key: everything about the repository that the result depends on (its manifests).
            setup_command: a script for bash; it has network, the sources and an empty home.
            fill: copies the sources into a sandbox.
            on_output: called with each line of output and progress.

        Raises SetupError when the command fails or takes longer than SETUP_SECONDS.
        """

    @abstractmethod
    def sandbox(self, environment: Environment, run_id: str) -> Sandbox:
        """Return a sandbox with this environment, not started."""

    @abstractmethod
    def sweep(self) -> None:
        """Remove what processes of this host that have exited left behind, and nothing else."""

    def caveats(self) -> list[str]:
        """Return the limitations of this engine's sandboxes to tell the user, one line each."""
        return []


def environment_key(base: str, setup_command: str, key: bytes) -> str:
    """Return the cache key of an environment."""
    parts = (base.encode(), setup_command.encode(), key)
    return hashlib.sha256(b"".join(b"%d:" % len(part) + part for part in parts)).hexdigest()[:20]


def install(sandbox: Sandbox, command: str, fill: Callable[[Sandbox], None], private: str) -> None:
    """Run a set-up command on the sources, then remove the sources again.

    What it makes beside them (`*.egg-info`, compiled modules) stays in the workspace.

    Args:
        sandbox: started, with network.
        private: a directory inside that is not kept, for the host's certificates.

    Raises SetupError.
    """
    fill(sandbox)
    _must(sandbox, f"find . -mindepth 1 ! -type d -print0 > {private}/sources")
    variables = dict(_QUIET)
    if bundle := _certificates():
        place = f"{private}/certificates.pem"
        sandbox.write(place, bundle)
        variables |= dict.fromkeys(_CERTIFICATE_VARIABLES, place)
    with _host_variables(sandbox) as settings:
        environment = settings | variables
        result = sandbox.exec(f"exec 2>&1\n{command}", timeout=SETUP_SECONDS, env=environment)
    if not result.ok:
        raise _failed(command, result)
    _must(
        sandbox,
        f"xargs -0 rm -f -- < {private}/sources && rm -rf .git"
        " && find . -depth -mindepth 1 -type d -empty -delete",
    )


def _failed(command: str, result: ExecResult) -> SetupError:
    how = "took too long" if result.timed_out else f"failed with exit code {result.exit_code}"
    hide = Redaction(host_secrets()).text
    tail = hide(_tail(result.stdout))
    return SetupError(
        f"The set-up command {how}: {hide(command)}\n{tail}\n"
        "Correct it with --setup-command, or name an image that has everything with --image.",
        tail,
    )


def _must(sandbox: Sandbox, script: str) -> None:
    result = sandbox.exec(script, timeout=300)
    if not result.ok:
        raise SetupError(f"The workspace could not be set up: {_tail(result.stderr)}")


def _tail(output: bytes, lines: int = 20) -> str:
    return "\n".join(output.decode("utf-8", "replace").rstrip().split("\n")[-lines:])


_QUIET = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_PROGRESS_BAR": "off",
    "PIP_NO_CACHE_DIR": "1",
    "DEBIAN_FRONTEND": "noninteractive",
}

_CERTIFICATE_VARIABLES = (
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE"),
    *("NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO"),
)


@contextmanager
def _host_variables(sandbox: Sandbox) -> Iterator[dict[str, str]]:
    """Give the host's proxies and package indexes as variables, without a secret in them.

    What is secret stays in a gateway on this machine, for a block of code. Raises SetupError where
    the sandbox cannot reach this machine, or a setting with a login is not understood.
    """
    settings = HostSettings.read()
    for name, value in settings.unclear.items():
        if "@" in value:
            raise SetupError(_NO_GATEWAY.format(name, "it is no address over HTTP"))
    names = settings.secret_names()
    if not names:
        yield settings.variables(None)
        return
    from reapair.sandbox.gateway.server import Gateway

    try:
        host = sandbox.host_address()
        if host is None:
            raise OSError("the sandbox has no address of it")
        gateway = Gateway(host)
    except OSError as error:
        reason = f"a sandbox of {sandbox.kind} cannot reach this machine: {error.strerror or error}"
        raise SetupError(_NO_GATEWAY.format(" and ".join(names), reason)) from None
    with gateway:
        yield settings.variables(gateway)


_NO_GATEWAY = (
    "{} holds a login that no sandbox may see, and it cannot be kept on this machine, since {}. "
    "Unset it for this run, name a mirror that wants none, or an image that has everything with "
    "--image."
)


def host_secrets() -> list[str]:
    """Return every secret in the host's proxies and package indexes."""
    return HostSettings.read().secrets()


_CERTIFICATE = re.compile(
    rb"-----BEGIN ((?:TRUSTED |X509 )?CERTIFICATE)-----.*?-----END \1-----\n?", re.S
)


def _certificates() -> bytes:
    """Return the certificates that the host trusts; keys in the same file stay there."""
    for name in _CERTIFICATE_VARIABLES[:4]:
        path = os.environ.get(name)
        if path and Path(path).is_file():
            return b"".join(found[0] for found in _CERTIFICATE.finditer(Path(path).read_bytes()))
    return b""
