"""Definitions of a source file, as the child that parses finds them."""

from __future__ import annotations

from dataclasses import dataclass

from reapair.tools.code.languages import Language
from reapair.tools.code.parsing import LARGEST, TooHardError, parse

VALUES = {"variable", "constant", "macro", "property", "declaration", "type"}
"""Kinds of definitions that have no body."""


@dataclass(frozen=True, slots=True)
class Definition:
    """Something with a name.

    `name` is dotted: `Class.method`. `header` is its first line or lines, as one. Lines count from
    1: from `start` to `end` with decorators, `line` is the header's. `depth` counts definitions
    around it; `local`: one of them is a function.
    """

    name: str
    kind: str
    header: str
    start: int
    line: int
    end: int
    depth: int = 0
    local: bool = False

    @property
    def short(self) -> str:
        """The name without what is around it."""
        return self.name.rpartition(".")[2]


def definitions(language: Language, source: bytes) -> list[Definition]:
    """Return what a source file defines, in the order of its text.

    Of what is too large or too hard to parse, nothing.
    """
    if len(source) > LARGEST:
        return []
    try:
        rows = parse("definitions", source, language=language.grammar)
    except TooHardError:
        return []
    return [Definition(*row) for row in rows]


def outline(language: Language, source: bytes) -> list[Definition]:
    """Return classes, functions and the like; nothing inside functions, no values."""
    return [
        entry
        for entry in definitions(language, source)
        if not entry.local and (entry.kind not in VALUES or entry.kind == "type")
    ]


def uses(language: Language, source: bytes, name: str) -> tuple[list[Definition], list[int]]:
    """Return definitions, and the lines (from 1) where the code uses a name.

    Comments, strings and the name's own definitions are no uses.
    """
    if len(source) > LARGEST:
        return [], []
    try:
        known, lines = parse("uses", source, language=language.grammar, name=name)
    except TooHardError:
        return [], []
    return [Definition(*row) for row in known], lines


def enclosing(found: list[Definition], line: int, *, but_not_at: bool = False) -> Definition | None:
    """Return the innermost definition that holds a line (from 1).

    With `but_not_at` the line is the header of a definition itself, and what is around it counts.
    """
    around = [entry for entry in found if entry.start <= line <= entry.end]
    return max(around[:-1] if but_not_at else around, key=lambda entry: entry.start, default=None)
