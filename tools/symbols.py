"""The tool `symbols`: where a name is defined, and where it is used."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import Field

from reapair.sandbox.base import Sandbox
from reapair.tools.base import Observation, Parameters, Tool, ToolError
from reapair.tools.code.blob_sources import SandboxSource
from reapair.tools.code.definitions import Definition, enclosing, uses
from reapair.tools.code.index import Index, Indexed
from reapair.tools.code.languages import language_of
from reapair.tools.files import is_test_file, missing, read_many, relative, split_lines
from reapair.tools.observation import clip, clip_line, count, listed, numbered

SHORT = 40
"""Lines up to which a definition is shown whole."""

SHOWN = 3
"""Definitions whose source is shown; of the others only the header is."""

MOST_DEFINITIONS = 20
USING_FILES = 10
USING_LINES = 30
"""Lines shown of uses; each file has a share of them."""

_WIDTH = 160
_NEAREST = 5
_MOST_NAMES = 200_000


class SymbolsParameters(Parameters):
    """What `symbols` takes."""

    name: str = Field(description="Name of a class, function, method or constant: f or Class.f.")
    path: str | None = Field(None, description="Only in this file or directory.")


@dataclass(frozen=True, slots=True)
class _Place:
    path: str
    definition: Definition


class Symbols(Tool[SymbolsParameters]):
    """Finds definitions and uses of a name.

    Args:
        index: knows the files. Default: one with the user's cache.
    """

    name = "symbols"
    description = "Show where a name is defined, with its source if short, and where it is used."
    parameters = SymbolsParameters
    changes_files = False

    def __init__(self, index: Index | None = None) -> None:
        self._index = index

    def run(self, arguments: SymbolsParameters, sandbox: Sandbox) -> Observation:
        """Look the name up in the files as they are now."""
        parts = _parts(arguments.name)
        if not parts:
            raise ToolError("name is empty. Give the name of a function, class or method.")
        self._index = self._index or Index()
        where = relative(arguments.path) if arguments.path and arguments.path.strip() else "."
        files = _below(self._index.files(SandboxSource(sandbox)), where, sandbox)
        found, exact = _definitions(files, parts)
        using = _using(files, parts[-1])
        if not found and not using:
            return Observation(_nothing(files, parts[-1], where), ok=False)
        shown = _shown(found, sandbox)
        head = _head(parts, found, using, where, exact=exact)
        return Observation(clip("\n".join([head, *shown, *_uses(using, parts[-1], sandbox)])))


def _parts(name: str) -> list[str]:
    """Take `Class.method`, `Class::method()` or `self.method` apart."""
    words = re.split(r"::|->|[.#:\s]+", name.strip().removesuffix("()").lstrip("@&*$"))
    parts = [word for word in words if word]
    return parts[1:] if len(parts) > 1 and parts[0] in ("self", "this", "cls") else parts


def _below(files: Mapping[str, Indexed], where: str, sandbox: Sandbox) -> Mapping[str, Indexed]:
    """Return the files in a file or directory."""
    if where == ".":
        return files
    found = {
        name: entry
        for name, entry in files.items()
        if name == where or name.startswith(f"{where}/")
    }
    if not found:
        if sandbox.exec(["test", "-e", where]).exit_code != 0:
            raise missing(where, sandbox)
        raise ToolError(f"There is no source file that can be parsed in {where}. Use search there.")
    return found


def _definitions(files: Mapping[str, Indexed], parts: list[str]) -> tuple[list[_Place], bool]:
    """Return the definitions of a name, best first, and whether all of a dotted name fits."""
    short = parts[-1]
    every = [
        _Place(path, entry)
        for path, known in files.items()
        if known.mentions(short)
        for entry in known.definitions
        if entry.short == short
    ]
    fitting = [place for place in every if _fits(place, parts)]
    found = fitting or every
    found.sort(
        key=lambda place: (
            place.definition.local,
            place.definition.kind in ("declaration", "variable"),
            is_test_file(place.path),
            place.path,
            place.definition.start,
        )
    )
    return found, bool(fitting)


def _fits(place: _Place, parts: list[str]) -> bool:
    """Tell whether file and names around a definition hold a dotted name's parts, in order."""
    path = place.path.rpartition(".")[0].split("/")
    full = iter([*path, *place.definition.name.split(".")])
    return all(part in full for part in parts)


def _using(files: Mapping[str, Indexed], name: str) -> list[tuple[int, str]]:
    """Return how often which file uses a name, without defining it; most first, tests last."""
    found = []
    for path, known in files.items():
        if known.mentions(name):
            own = {entry.line for entry in known.definitions if entry.short == name}
            number = known.names.get(name, 0) - len(own)
            if number > 0:
                found.append((number, path))
    return sorted(found, key=lambda item: (is_test_file(item[1]), -item[0], item[1]))


def _head(
    parts: list[str], found: list[_Place], using: list[tuple[int, str]], where: str, *, exact: bool
) -> str:
    asked, short = ".".join(parts), parts[-1]
    total = sum(number for number, _ in using)
    used = (
        f"{count(total, 'use')} of {short} in {count(len(using), 'file')}" if using else "no uses"
    )
    if not found:
        return f"{asked} is not defined{_inside(where) or ' here'}; {used}."
    number = count(len(found), "definition")
    if not exact:
        return f"There is no {asked}{_inside(where)}. {number} of {short}, {used}."
    return f"{asked}: {number}, {used}{_inside(where)}."


def _inside(where: str) -> str:
    return "" if where == "." else f" in {where}"


def _shown(found: list[_Place], sandbox: Sandbox) -> list[str]:
    sources = read_many(sandbox, list(dict.fromkeys(place.path for place in found[:SHOWN])))
    blocks = []
    for rank, place in enumerate(found[:MOST_DEFINITIONS]):
        entry = place.definition
        blocks.append(f"{place.path}:{entry.start}-{entry.end} {entry.kind} {entry.name}")
        lines = split_lines(sources.get(place.path, b"").decode("utf-8", "replace"))
        body = lines[entry.start - 1 : entry.end]
        if rank < SHOWN and 0 < len(body) <= SHORT:
            blocks.append(numbered(body, entry.start))
        else:
            blocks.append(f"{entry.line:>5}\t{clip_line(entry.header, _WIDTH)}")
            if rank < SHOWN:
                blocks.append(f"  [{len(body)} lines: read them with start_line {entry.start}]")
    if len(found) > MOST_DEFINITIONS:
        blocks.append(f"[{len(found) - MOST_DEFINITIONS} more definitions: narrow with path]")
    return blocks


def _uses(using: list[tuple[int, str]], name: str, sandbox: Sandbox) -> list[str]:
    if not using:
        return []
    sources = read_many(sandbox, [path for _, path in using[:USING_FILES]])
    blocks = ["Uses:"]
    share = max(3, USING_LINES // len(using))
    for number, path in using[:USING_FILES]:
        blocks += _uses_in(path, number, name, sources.get(path, b""), share)
    rest = [f"{path} ({number})" for number, path in using[USING_FILES:]]
    if rest:
        blocks.append(f"Also in: {listed(rest)}. Narrow with path.")
    return blocks


def _uses_in(path: str, number: int, name: str, source: bytes, most: int) -> Iterable[str]:
    language = language_of(path)
    if language is None:
        return
    known, rows = uses(language, source, name)
    text = split_lines(source.decode("utf-8", "replace"))
    yield f"{path} ({number})"
    inside: Definition | None = None
    for row in rows[:most]:
        around = enclosing(known, row, but_not_at=any(entry.line == row for entry in known))
        if around != inside:
            inside = around
            yield (
                f"  in {around.name} (lines {around.start}-{around.end}):"
                if around
                else "  outside:"
            )
        yield f"{row:>5}\t{clip_line(text[row - 1].rstrip() if row <= len(text) else '', _WIDTH)}"
    if len(rows) > most:
        yield f"  [{len(rows) - most} more lines in this file]"


def _nothing(files: Mapping[str, Indexed], name: str, where: str) -> str:
    known = sorted({entry.short for file in files.values() for entry in file.definitions})
    near = _nearest(name, known[:_MOST_NAMES])
    advice = f"Did you mean: {', '.join(near)}?" if near else "Use search for text."
    return f"Nothing is called {clip_line(name, _WIDTH)}{_inside(where)}. {advice}"


def _nearest(name: str, known: list[str]) -> list[str]:
    """Return known names most like this one: other case, part of each other, a slip away."""
    plain = name.lower().replace("_", "")
    folded = [(other.lower().replace("_", ""), other) for other in known]
    same = [other for low, other in folded if low == plain]
    if len(plain) > 3:
        inside = [
            (len(low), other)
            for low, other in folded
            if low != plain and (plain in low or (len(low) > 3 and low in plain))
        ]
        same += [
            other
            for _, other in sorted(inside, key=lambda item: (abs(item[0] - len(plain)), item[1]))
        ]
    alike = [other for low, other in folded if abs(len(low) - len(plain)) <= 2]
    close = difflib.get_close_matches(name, alike, n=_NEAREST, cutoff=0.75)
    return list(dict.fromkeys([*same[:_NEAREST], *close]))[:_NEAREST]
