"""How lines written with one indentation look in a file that has another."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

_WIDTHS = (2, 3, 4, 8)


def indent_of(line: str) -> str:
    """Return the white space a line begins with."""
    return line[: len(line) - len(line.lstrip())]


def opens_block(line: str) -> bool:
    """Tell whether the line after this one has to be indented deeper."""
    return line.rstrip().endswith((":", "{"))


def usual_step(lines: Sequence[str]) -> int | None:
    """Return by how many characters a block is indented here; None where there is no block."""
    filled = [line for line in lines if line.strip()]
    steps = Counter(
        len(indent_of(inner)) - len(indent_of(outer))
        for outer, inner in pairwise(filled)
        if opens_block(outer)
    )
    likely = [step for step, _ in steps.most_common() if step > 0]
    return likely[0] if likely else None


class Indentation:
    """What the indentations of a model's text are in the file, learnt from lines that are in both.

    Args:
        pairs: a line as the model wrote it, and the same line as it stands in the file.
        more: further lines the model wrote, of which only the indentation counts.
        file: lines of the file around them; they tell whether it is indented by tabs.
    """

    def __init__(
        self, pairs: Sequence[tuple[str, str]], more: Iterable[str], file: Iterable[str]
    ) -> None:
        self.conflict = False
        self._known: dict[str, str] = {}
        for given, real in pairs:
            wanted = indent_of(real)
            if self._known.setdefault(indent_of(given), wanted) != wanted:
                self.conflict = True
        self.same = all(given == real for given, real in self._known.items())
        self._shifts = Counter(
            len(indent_of(real)) - len(indent_of(given)) for given, real in pairs
        )
        self._given = {*self._known, *(indent_of(line) for line in more if line.strip())}
        self._file = {indent_of(line)[:1] for line in file if line.strip()} - {""}

    def translate(self, indent: str) -> str | None:
        """Return what an indentation is in the file, or None when that cannot be told."""
        if indent in self._known:
            return None if self.conflict else self._known[indent]
        given = set("".join(self._given))
        real = set("".join(self._known.values())) or (self._file if len(self._file) == 1 else given)
        if self.conflict or len(given) > 1 or len(real) > 1:
            return None
        width = self._same_kind(len(indent)) if given == real else self._other_kind(len(indent))
        return None if width is None or width < 0 else next(iter(real or given or {" "})) * width

    def _points(self) -> list[tuple[int, int]]:
        return sorted((len(given), len(real)) for given, real in self._known.items())

    def _same_kind(self, width: int) -> int | None:
        """All but one line moved by as much, or all by the same factor."""
        (shift, lines), *_ = self._shifts.most_common(1)
        if lines == self._shifts.total() or lines == self._shifts.total() - 1 > 1:
            return width + shift
        points = self._points()
        given, real = points[-1]
        low, high = sorted((given, real))
        if not low or high // low not in _WIDTHS or any(x * real != y * given for x, y in points):
            return None
        return width * real // given if (width * real) % given == 0 else None

    def _other_kind(self, width: int) -> int | None:
        """Tabs where the model wrote spaces, or the other way round."""
        points = self._points()
        if " " in "".join(self._given):
            unit = math.gcd(*(len(indent) for indent in self._given))
            offsets = {real - given // unit for given, real in points}
            return width // unit + offsets.pop() if unit in _WIDTHS and len(offsets) == 1 else None
        given, real = points[-1]
        unit = real // given if given and real % given == 0 else 0
        if unit not in _WIDTHS or any(y != x * unit for x, y in points):
            return None
        return width * unit
