"""The sandbox interface: a kind implements `start`, `exec` and `close`; the rest builds on them."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

WORKSPACE = "/testbed"
"""Path of the repository inside a sandbox; the one that models were trained on with SWE-smith.

Without isolation (`none`) it works in commands, their variables and their output, but programs see
another path. So a file written from outside never names it: a program inside, or the command that
writes the file, resolves relative paths.
"""

OUTPUT_LIMIT = 64 * 1024
"""Bytes kept of each output stream of a command: half from its head, half from its tail."""

Kind = Literal["docker", "podman", "bubblewrap", "none"]


class SandboxError(Exception):
    """The sandbox itself failed. The message says what happened, why, and what to do next."""


@dataclass(frozen=True, slots=True)
class ExecResult:
    """The result of a command.

    `exit_code` is None when the command did not end by itself (`timed_out` or `died`). `dropped`
    counts the bytes left out between the kept head and tail of both streams. `oom` is set when the
    kernel killed a process for memory meanwhile, `died` when the sandbox itself went away.
    """

    exit_code: int | None
    stdout: bytes
    stderr: bytes = b""
    dropped: int = 0
    timed_out: bool = False
    oom: bool = False
    died: bool = False

    @property
    def ok(self) -> bool:
        """True when the command ended by itself with exit code 0."""
        return self.exit_code == 0

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are not UTF-8 become U+FFFD."""
        return self.stdout.decode("utf-8", "replace")


class Sandbox(ABC):
    """One isolated workspace with the repository in it.

    Commands run as an unprivileged user, without network, in `WORKSPACE`. Nothing a command does
    outlives `close`, and a command that times out leaves no process behind.
    """

    kind: Kind

    closed = False
    """True once it was closed or has died: nothing runs in it any more."""

    @abstractmethod
    def start(self) -> None:
        """Start the sandbox. Raises SandboxError."""

    @abstractmethod
    def exec(
        self,
        command: str | Sequence[str],
        *,
        timeout: float = 60.0,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> ExecResult:
        """Run a shell script (str, by bash where there is one) or an argument list in WORKSPACE.

        `timeout` is in seconds. Raises SandboxError only when the sandbox can no longer be used at
        all; whatever a command does to itself is reported in the result.
        """

    @abstractmethod
    def close(self) -> None:
        """End every process and remove what `start` made. May be called twice."""

    def host_address(self) -> str | None:
        """Return where commands of the set-up reach this machine; None when they don't."""
        return None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, path: str, *, limit: int = 16 * 1024 * 1024) -> bytes:
        """Return the first `limit` bytes of a regular file; relative paths start at WORKSPACE.

        Raises FileNotFoundError, IsADirectoryError, PermissionError, or OSError for anything else
        that is not a regular file.
        """
        name = shlex.quote(path if path.startswith("/") else f"./{path}")
        script = (
            f"if [ -f {name} ]; then [ -r {name} ] || exit 13; exec head -c {limit} -- {name}; fi\n"
            f"[ -d {name} ] && exit 21; [ -e {name} ] && exit 5; exit 2"
        )
        result = self.exec(script, output_limit=limit * 2)
        if result.ok:
            return result.stdout
        raise _READ_ERRORS.get(result.exit_code or 0, OSError)(path)

    def write(self, path: str, data: bytes, *, executable: bool | None = None) -> None:
        """Write a whole file, making parent directories; relative paths start at WORKSPACE.

        The bytes are written unchanged: see WORKSPACE for the paths in them. An existing file keeps
        its mode unless `executable` is given. Raises OSError with the command's error message when
        that fails (disk full, a directory in the way, no permission).
        """
        name = shlex.quote(path if path.startswith("/") else f"./{path}")
        script = f'set -e; mkdir -p -- "$(dirname -- {name})"; cat > {name}'
        if executable is not None:
            script += f"; chmod {'+x' if executable else '-x'} -- {name}"
        result = self.exec(script, stdin=data)
        if not result.ok:
            reason = result.stderr.decode("utf-8", "replace").strip().rpartition(": ")[2]
            raise OSError(f"{path}: {reason or 'could not be written'}")


_READ_ERRORS: dict[int, type[OSError]] = {
    2: FileNotFoundError,
    13: PermissionError,
    21: IsADirectoryError,
}
