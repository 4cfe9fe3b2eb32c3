"""How much of a text the model gets to read: whole lines from the head and the tail."""

from __future__ import annotations

import re

OBSERVATION_LIMIT = 12_000
"""Bytes of UTF-8 that one observation may take: about 3,500 tokens of code."""

LINE_LIMIT = 500
"""Characters shown of one line."""

_UNSTABLE = (  # what pytest and Python print, nothing is opened here
    (re.compile(r"\bat 0x[0-9a-fA-F]{6,}"), "at 0x..."),
    (re.compile(r"/tmp/pytest-of-[^/\s]+/pytest-\d+"), "/tmp/pytest"),  # noqa: S108
    (re.compile(r"/tmp/tmp[a-z0-9_]{8}\b"), "/tmp/tmp..."),  # noqa: S108
    (
        re.compile(
            r"^(.*\b(?:passed|failed|errors?|skipped|warnings?|deselected|ran)\b.*) in "
            r"\d+\.\d+s(?: \(\d+:\d\d:\d\d\))?",
            re.M,
        ),
        r"\1",
    ),
    (re.compile(r"^(Ran \d+ tests?) in \d+\.\d+s$", re.M), r"\1"),
)

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def clip(
    text: str, limit: int = OBSERVATION_LIMIT, *, tail: float = 0.5, width: int = LINE_LIMIT
) -> str:
    """Keep whole lines from the head and the tail of `text`, and say how many were left out.

    Args:
        text: what to show.
        limit: bytes of UTF-8 that the result may take; at least 200.
        tail: share of the limit that goes to the end of the text, 0 to 1.
        width: characters shown of one line.

    Returns the text itself when it fits and has no overlong line.
    """
    lines = [clip_line(line, width) for line in text.split("\n")]
    sizes = [len(line.encode("utf-8", "replace")) + 1 for line in lines]
    if sum(sizes) - 1 <= limit:
        return "\n".join(lines)
    room = limit - 60
    after = _fitting(sizes[::-1], int(room * tail))
    before = _fitting(sizes[: len(sizes) - after], room - sum(sizes[len(sizes) - after :]))
    left_out = len(lines) - before - after
    note = f"[... {left_out} line{'s' if left_out != 1 else ''} left out ...]"
    return "\n".join([*lines[:before], note, *lines[len(lines) - after :]])


def clip_line(line: str, limit: int = LINE_LIMIT) -> str:
    """Cut a line after `limit` characters and say how many are missing."""
    if len(line) <= limit:
        return line
    return f"{line[:limit]} [... {len(line) - limit} more characters]"


def stable(text: str) -> str:
    """Take out what differs between two equal runs: addresses, temporary folders, durations."""
    for pattern, replacement in _UNSTABLE:
        text = pattern.sub(replacement, text)
    return text


def plain(output: bytes) -> str:
    """Return what a terminal would show of a command's output: no colours, no overwritten lines.

    Bytes that are not UTF-8 become U+FFFD.
    """
    text = _ESCAPE.sub("", output.decode("utf-8", "replace").replace("\r\n", "\n"))
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return _CONTROL.sub("", "\n".join(lines))


def numbered(lines: list[str], first: int) -> str:
    """Render lines the way `read` does: the number in five columns, a tab, the line."""
    return "\n".join(f"{first + i:>5}\t{clip_line(line)}" for i, line in enumerate(lines))


def listed(names: list[str], most: int = 10) -> str:
    """Join names with commas; beyond `most` only their number is told."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def count(number: int, noun: str) -> str:
    """Return for example '1 match' or '2 matches'."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith('ch') else 's'}"


def _fitting(sizes: list[int], room: int) -> int:
    """Return how many of the first sizes fit into the room."""
    total = 0
    for number, size in enumerate(sizes):
        total += size
        if total > room:
            return number
    return len(sizes)
