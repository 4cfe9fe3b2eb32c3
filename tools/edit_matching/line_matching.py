"""Matching by lines, apart from white space or quotes, and applying only what really differs.

What the model leaves alone keeps the bytes it has in the file. What it replaces must be right
apart from indentation; whatever could be meant in two ways is refused.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from reapair.tools.edit_matching.indentation import Indentation, indent_of, opens_block, usual_step

_STRAIGHT = str.maketrans('\u2018\u2019\u201c\u201d`"', "''''''")


def stripped(line: str) -> str:
    """Key for lines that may differ in indentation and trailing white space."""
    return line.strip()


def squeezed(line: str) -> str:
    """Key for lines that may differ in any white space."""
    return " ".join(line.split())


def unquoted(line: str) -> str:
    """Key for lines that may also differ in the kind of their quotes."""
    return line.strip().translate(_STRAIGHT)


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines `first` to `last` (from 0, end excluded) of the file, and what comes in their place."""

    first: int
    last: int
    lines: list[str]


def regions(
    lines: Sequence[str], wanted: Sequence[str], key: Callable[[str], str]
) -> list[list[int]]:
    """Return each place where the wanted lines stand, blank lines aside, as line numbers from 0."""
    where = [index for index, line in enumerate(lines) if line.strip()]
    keys = [key(lines[index]) for index in where]
    sought = [key(line) for line in wanted if line.strip()]
    size = len(sought)
    if not size:
        return []
    return [
        where[start : start + size]
        for start in range(len(keys) - size + 1)
        if keys[start] == sought[0] and keys[start : start + size] == sought
    ]


def hunks(
    lines: Sequence[str], places: Sequence[int], old: Sequence[str], new: Sequence[str]
) -> list[Hunk] | None:
    """Return what to change in the file to do there what turns `old` into `new`.

    Args:
        lines: the whole file.
        places: where each line of `old` that is not blank stands in it (from 0).

    Returns None where that is not certain.
    """
    merge = _Merge(lines, places, old, new)
    if not merge.safe:
        return None
    found = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old, new, False).get_opcodes():
        if tag == "equal":
            merge.keep(range(i1, i2), range(j1, j2))
            continue
        hunk = merge.hunk(range(i1, i2), range(j1, j2))
        if hunk is None:
            return None
        found.append(hunk)
    return found if merge.well_indented else None


class _Merge:
    def __init__(
        self,
        lines: Sequence[str],
        places: Sequence[int],
        old: Sequence[str],
        new: Sequence[str],
    ) -> None:
        self._lines, self._old, self._new = lines, old, new
        filled = [index for index, line in enumerate(old) if line.strip()]
        self._at = dict(zip(filled, places, strict=True))
        pairs = [(old[index], lines[place]) for index, place in self._at.items()]
        self._first_indent: str | None = None
        if _starts_mid_line(pairs):
            self._first_indent = indent_of(pairs[0][1])
            pairs = pairs[1:]
        self._style = Indentation(pairs, new, lines)
        self._quotes = _quote_map(pairs)
        self._blank = dict(self._aligned_blanks())
        self._result: list[str] = []
        self._kept: set[str] = set()

    @property
    def safe(self) -> bool:
        """False when a line that differs from the file stands twice in `old`."""
        counts = Counter(line.strip() for line in self._old if line.strip())
        loose = (
            self._old[index].strip()
            for index, place in self._at.items()
            if self._style.conflict or self._old[index].strip() != self._lines[place].strip()
        )
        return all(counts[line] == 1 for line in loose)

    @property
    def well_indented(self) -> bool:
        """False when a block would be indented otherwise than the file's: then it was a guess."""
        if self._style.same:
            return True
        step = usual_step(self._lines)
        filled = [line for line in self._result if line.strip()]
        return all(
            len(indent_of(inner)) - len(indent_of(outer)) == step
            for outer, inner in pairwise(filled)
            if opens_block(outer) and not {outer, inner} <= self._kept
        )

    def keep(self, there: range, here: range) -> None:
        """Take lines as they stand in the file."""
        for old, new in zip(there, here, strict=True):
            line = self._lines[self._at[old]] if old in self._at else self._new[new]
            self._kept.add(line)
            self._result.append(line)

    def hunk(self, gone: range, fresh: range) -> Hunk | None:
        """Return where the lines `gone` of the old text stand, and how `fresh` look there."""
        first, last = self._bounds(gone)
        if first is None or last is None or not all(map(self._known_well, gone)):
            return None
        lines = []
        for offset, index in enumerate(fresh):
            partner = gone[offset] if len(gone) == len(fresh) else None
            line = self._line(index, partner)
            if line is None:
                return None
            lines.append(line)
        self._result += lines
        return Hunk(first, last, lines)

    def _aligned_blanks(self) -> Iterator[tuple[int, int]]:
        """Pair blank lines of the old text with those of the file, where both have as many."""
        edges = list(self._at.items())
        for (o1, f1), (o2, f2) in pairwise(edges):
            if o2 - o1 == f2 - f1:
                yield from ((o1 + step, f1 + step) for step in range(1, o2 - o1))
        for (o, f), outside in (
            (edges[0], range(edges[0][0])),
            (edges[-1], range(edges[-1][0] + 1, len(self._old))),
        ):
            places = [(index, f + index - o) for index in outside]
            if all(0 <= f < len(self._lines) and not self._lines[f].strip() for _, f in places):
                yield from places

    def _place(self, index: int) -> int | None:
        return self._at.get(index, self._blank.get(index))

    def _bounds(self, gone: range) -> tuple[int | None, int | None]:
        if gone:
            last = self._place(gone[-1])
            return self._place(gone[0]), None if last is None else last + 1
        # Between two lines: certain only when the file has nothing between them either.
        index = gone.start
        before = self._place(index - 1) if index else None
        after = self._place(index) if index < len(self._old) else None
        if index and index < len(self._old):
            if before is None or after is None or before + 1 != after:
                return None, None
            return after, after
        place = after if index == 0 else None if before is None else before + 1
        return place, place

    def _known_well(self, index: int) -> bool:
        place = self._at.get(index)
        if place is None:
            return True
        given, real = self._old[index].strip(), self._lines[place].strip()
        return given == real or (self._quotes is not None and given.translate(self._quotes) == real)

    def _line(self, index: int, partner: int | None) -> str | None:
        line = self._new[index]
        if not line.strip():
            return ""
        indent = self._indent(line, index, partner)
        body = line.lstrip()
        if self._quotes:
            if any(chr(code) in body for code in self._quotes.values()):
                return None
            body = body.translate(self._quotes)
        return None if indent is None else indent + body

    def _indent(self, line: str, index: int, partner: int | None) -> str | None:
        given = indent_of(line)
        if index == 0 and not given and self._first_indent is not None:
            return self._first_indent
        if self._style.conflict and partner in self._at:
            old = self._old[partner]
            alike = difflib.SequenceMatcher(None, old.strip(), line.strip(), False).ratio() > 0.5
            return (
                indent_of(self._lines[self._at[partner]])
                if alike and given == indent_of(old)
                else None
            )
        return self._style.translate(given)


def _starts_mid_line(pairs: Sequence[tuple[str, str]]) -> bool:
    """Tell whether only the indentation of the very first line was left out."""
    (first, real), *rest = pairs
    return (
        not indent_of(first)
        and bool(indent_of(real))
        and any(indent_of(given) for given, _ in rest)
        and all(indent_of(given) == indent_of(there) for given, there in rest)
    )


def _quote_map(pairs: Sequence[tuple[str, str]]) -> dict[int, int] | None:
    """Return which quotes of the model are which in the file; None where it is not one to one."""
    found: dict[int, int] = {}
    for given, real in pairs:
        one, other = given.strip(), real.strip()
        if one.translate(_STRAIGHT) != other.translate(_STRAIGHT):
            continue
        for a, b in zip(one, other, strict=True):
            if ord(a) in _STRAIGHT and found.setdefault(ord(a), ord(b)) != ord(b):
                return None
    return {a: b for a, b in found.items() if a != b}
