"""Repositories inside a sandbox, for the tests of the tools."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

from reapair.sandbox.base import Sandbox

SLUG = {
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
}
"""A small package with one bug that one of its tests shows."""


def fill(sandbox: Sandbox, files: Mapping[str, str | bytes]) -> None:
    """Put files into the workspace and commit them."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    identity = "-c user.name=t -c user.email=t@example.org"
    done = sandbox.exec(
        "tar -xf - && git init -q && git add -A -f && "
        f"git {identity} commit -qm start --allow-empty",
        stdin=archive.getvalue(),
    )
    assert done.ok, done.stderr


def diff(sandbox: Sandbox) -> str:
    """Return everything changed since HEAD, new files included."""
    script = "git add -A -N . && git diff --no-color --no-ext-diff --binary HEAD"
    return sandbox.exec(script).stdout.decode("utf-8", "surrogateescape")
