"""Reading an answer: the code blocks in it, and changes written as search and replace."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+.#-]*)[^\n`]*$", re.MULTILINE)
_SEARCH = re.compile(
    r"^[ \t]*<{5,9} ?SEARCH[^\n]*\n(.*?)^[ \t]*={5,9}[ \t]*\n(.*?)^[ \t]*>{5,9} ?REPLACE",
    re.MULTILINE | re.DOTALL,
)
_HUNK = re.compile(r"^@@.*$", re.MULTILINE)
_UNCHANGED = re.compile(r"^\W*unchanged\W*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Written:
    """What an answer holds.

    Attributes:
        blocks: its code blocks, the last one first: what a model settles on stands at the end.
        replacements: pairs of old and new text.
        unchanged: it says that nothing is wrong, and has no code.
    """

    blocks: tuple[str, ...] = ()
    replacements: tuple[tuple[str, str], ...] = ()
    unchanged: bool = False


def read_answer(text: str, *, whole: bool = True) -> Written:
    """Return what an answer holds.

    Args:
        text: the answer.
        whole: False when it was cut at its limit: a block that is not closed then counts for
            nothing.
    """
    blocks = _blocks(text, whole=whole)
    replacements = [
        (old.rstrip("\n"), new.rstrip("\n"))
        for part in (blocks or [text])
        for old, new in _SEARCH.findall(part)
    ]
    for block in blocks:
        replacements += _of_diff(block)
    code = tuple(b for b in reversed(blocks) if not (_SEARCH.search(b) or _HUNK.search(b)))
    if not blocks and not replacements and whole:
        # Some write the code alone, without a fence around it.
        code = (text,) if re.search(r"^\s*(async )?def \w+|^\s*class \w+", text, re.M) else ()
    unchanged = not code and not replacements and bool(_UNCHANGED.search(text))
    return Written(code, tuple(replacements), unchanged)


def _blocks(text: str, *, whole: bool) -> list[str]:
    blocks: list[str] = []
    opened: tuple[str, int] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = (fence[1], fence.end() + 1)
        elif fence[1].startswith(opened[0]) and not fence[2]:
            blocks.append(text[opened[1] : fence.start()])
            opened = None
    if opened is not None and whole:
        blocks.append(text[opened[1] :])
    return [block.rstrip() + "\n" for block in blocks if block.strip()]


def _of_diff(block: str) -> list[tuple[str, str]]:
    """Return the hunks of a diff as old and new text; its line numbers are not believed."""
    pairs = []
    for hunk in _HUNK.split(block)[1:]:
        lines = [line for line in hunk.split("\n") if not line.startswith(("---", "+++", "\\"))]
        old = [line[1:] for line in lines if line[:1] in ("-", " ")]
        new = [line[1:] for line in lines if line[:1] in ("+", " ")]
        if old != new and any(line.strip() for line in old):
            pairs.append(("\n".join(old), "\n".join(new)))
    return pairs
