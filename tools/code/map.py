"""The repository map: the definitions that matter for an issue, as many as fit."""

from __future__ import annotations

from collections.abc import Mapping

from reapair.tools.code.definitions import Definition
from reapair.tools.code.hints import Hints
from reapair.tools.code.index import Indexed
from reapair.tools.code.ranking import ranked
from reapair.tools.observation import clip_line

TOKENS = 1_500
"""What a map takes of a context that has room, at four bytes a token."""

ROWS = 12
"""Most definitions shown of one file."""

_WIDTH = 100
_MISSES = 20


def repository_map(files: Mapping[str, Indexed], issue: str, tokens: int = TOKENS) -> str:
    """Return files and definitions closest to an issue, best file first; "" when there are none.

    Args:
        files: the index.
        issue: its text; its words decide what comes first.
        tokens: the most that the map may take.
    """
    room = tokens * 4
    shown: dict[str, dict[int, Definition]] = {}
    misses = 0
    for _, path, definition in ranked(files, Hints.of(issue)):
        rows = shown.get(path, {})
        added = [
            entry
            for entry in [*_around(files[path].definitions, definition), definition]
            if entry.line not in rows
        ]
        if not added or len(rows) + len(added) > ROWS:
            continue
        cost = sum(len(_row(entry).encode()) + 1 for entry in added)
        cost += 0 if rows else len(path.encode()) + 1
        if cost > room:
            misses += 1
            if misses == _MISSES:
                break
            continue
        room -= cost
        shown.setdefault(path, {}).update({entry.line: entry for entry in added})
    lines = []
    for path, rows in shown.items():
        lines += [path, *(_row(rows[line]) for line in sorted(rows))]
    return "\n".join(lines)


def _around(known: list[Definition], definition: Definition) -> list[Definition]:
    """Return the definitions that a definition lies in, outermost first."""
    if not definition.depth:
        return []
    return [
        entry
        for entry in known
        if entry.depth < definition.depth
        and entry.start <= definition.start
        and entry.end >= definition.end
    ]


def _row(entry: Definition) -> str:
    return f"{entry.line:>5} {'  ' * entry.depth}{clip_line(entry.header, _WIDTH)}"
