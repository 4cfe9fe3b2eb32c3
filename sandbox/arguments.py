"""Commands that no system can start, told the same way by every sandbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reapair.sandbox.base import ExecResult

_LONGEST = 128 * 1024 - 1
_LONGEST_TOGETHER = 1024 * 1024


def unusable(argv: Sequence[str], env: Mapping[str, str]) -> ExecResult | None:
    """Return the result of a command that cannot be started as it is, None for all others."""
    words = [word.encode("utf-8", "surrogateescape") for word in (*argv, *env, *env.values())]
    if any(b"\0" in word for word in words):
        return ExecResult(126, b"", b"a command cannot hold a NUL character\n")
    if max(map(len, words), default=0) > _LONGEST or sum(map(len, words)) > _LONGEST_TOGETHER:
        return ExecResult(126, b"", b"the command is too long: put the text into a file\n")
    return None
