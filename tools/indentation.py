"""How lines written with one indentation look in a file that has another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

_WIDTHS = (2, 3, 4, 8)


def indent_of(line: str) -> str:
    """Return the white space a line begins with."""
    return line[: len(line) - len(line.lstrip())]


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
        """All moved by as much, or all by the same factor."""
        points = self._points()
        if len({real - given for given, real in points}) == 1:
            given, real = points[0]
            return width + real - given
        given, real = points[-1]
        if any(x * real != y * given for x, y in points) or (width * real) % given:
            return None
        return width * real // given

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
