"""Makes untrusted text safe to print: it can neither control a terminal nor forge a line."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, the escape among them
    "\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff"  # halves of surrogate pairs, which no output takes
    "\U000e0000-\U000e007f"  # letters that nobody sees
    "]"
)


def clean(text: str) -> str:
    """Return untrusted text without control, escape, direction and invisible characters."""
    return _UNPRINTABLE.sub("�", text.replace("\t", "    ").replace("\r\n", "\n"))


def one_line(text: str, limit: int = 400) -> str:
    """Return untrusted text as one line of at most `limit` characters."""
    line = clean(" ".join(text[: 4 * limit].split("\n"))).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def visible(text: str) -> str:
    """Return text with the names of its control, direction and invisible characters in place.

    For pages, where a reader is to see what a change hides: `\\u202e` becomes `⟨U+202E⟩`.
    """
    return _UNPRINTABLE.sub(
        lambda found: f"⟨U+{ord(found[0]):04X}⟩", text.replace("\r\n", "\n").replace("\t", "    ")
    )
