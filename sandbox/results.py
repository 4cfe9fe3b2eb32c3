"""Results that every sandbox words the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reapair.sandbox.base import ExecResult
from reapair.sandbox.command_limits import Stop
from reapair.sandbox.output import HeadTail

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


def result(
    exit_code: int | None,
    outputs: tuple[HeadTail, HeadTail],
    *,
    stop: Stop = "",
    oom: bool = False,
    died: bool = False,
) -> ExecResult:
    """Return what a command did; a stop for the sake of the disk reads like a kill."""
    stdout, stderr = outputs
    if stop == "size":
        exit_code = 137
        stderr.feed(b"\nended: the workspace has grown too big, or the disk is full\n")
    return ExecResult(
        None if stop == "time" else exit_code,
        stdout.value,
        stderr.value,
        dropped=stdout.dropped + stderr.dropped,
        timed_out=stop == "time",
        oom=oom,
        died=died,
    )
