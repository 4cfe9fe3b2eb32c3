"""A repository and a sandbox without isolation, for tests that run nothing hostile."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from reapair.sandbox.base import OUTPUT_LIMIT, ExecResult, Sandbox


class HostSandbox(Sandbox):
    """Runs commands in a folder of the host."""

    kind = "none"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self) -> None: ...

    def close(self) -> None: ...

    def exec(
        self,
        command: str | Sequence[str],
        *,
        timeout: float = 60.0,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> ExecResult:
        argv = ["bash", "-c", command] if isinstance(command, str) else list(command)
        process = subprocess.Popen(
            argv,
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        try:
            out, err = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            return ExecResult(None, out, err, timed_out=True)
        dropped = max(len(out) - output_limit, 0)
        if dropped:
            out = out[: output_limit // 2] + out[-output_limit // 2 :]
        return ExecResult(process.returncode, out, err, dropped)


def diff(sandbox: Sandbox) -> str:
    """Return everything changed since HEAD, new files included."""
    script = "git add -A -N . && git diff --no-color --no-ext-diff HEAD"
    return sandbox.exec(script).stdout.decode("utf-8", "surrogateescape")


def make_repository(folder: Path, files: Mapping[str, str | bytes]) -> HostSandbox:
    """Write the files and commit them."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    sandbox = HostSandbox(folder)
    identity = "-c user.name=t -c user.email=t@example.org"
    done = sandbox.exec(
        f"git init -q && git add -A -f && git {identity} commit -qm start --allow-empty"
    )
    assert done.ok, done.stderr
    return sandbox


@pytest.fixture
def slug(tmp_path: Path) -> HostSandbox:
    """A small package with one bug that one of its tests shows."""
    return make_repository(
        tmp_path,
        {
            "slug/__init__.py": "from slug.core import slugify\n",
            "slug/core.py": (
                "import re\n\n\ndef slugify(text, separator='-'):\n"
                '    """Return text in lower case, words joined by the separator."""\n'
                "    words = re.split(r'[^a-z0-9]', text.lower())\n"
                "    return separator.join(words)\n"
            ),
            "tests/test_core.py": (
                "from slug import slugify\n\n\ndef test_simple():\n"
                '    assert slugify("A B") == "a-b"\n\n\n'
                "def test_dots():\n"
                '    print("looking")\n    assert slugify("a..b") == "a-b"\n'
            ),
            ".gitignore": "__pycache__/\n",
        },
    )
