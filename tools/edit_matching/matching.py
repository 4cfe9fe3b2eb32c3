"""Where `old_str` stands in a text: exactly, or apart from white space, or nowhere but nearly."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reapair.tools.edit_matching.indentation import indent_of
from reapair.tools.edit_matching.line_matching import (
    Hunk,
    hunks,
    regions,
    squeezed,
    stripped,
    unquoted,
)

_NUMBERED = re.compile(r"^ *(\d+)(\t| ?[:|→])")
_ELLIPSIS = re.compile(r"^\s*(?:#|//|/\*|--)?\s*(?:\.\.\.|…)[^\"'()=]*$")

NUMBERS_NOTE = "Line numbers were taken out of old_str and new_str."
INDENT_NOTE = "old_str differed in white space only; new_str was indented like the file."
QUOTES_NOTE = "old_str differed in its quotes only; new_str got those of the file."
ELLIPSIS_NOTE = "The lines that old_str and new_str leave out by '...' were kept."


@dataclass(frozen=True, slots=True)
class Replacement:
    """What to put where: offsets into the text, the new text, and what had to be assumed."""

    start: int
    end: int
    new: str
    note: str = ""


class NoMatch(Exception):  # noqa: N818 - an answer, not a failure
    """The text is not there; `lines` is the nearest stretch (from 0, end excluded), if any."""

    def __init__(self, lines: range | None) -> None:
        super().__init__("no match")
        self.lines = lines


class SeveralMatches(Exception):  # noqa: N818
    """The text stands at several places; `lines` are where they begin (from 1).

    `exactly` is False when it stands there only apart from white space.
    """

    def __init__(self, lines: list[int], *, exactly: bool) -> None:
        super().__init__("several matches")
        self.lines = lines
        self.exactly = exactly


def find(text: str, old: str, new: str) -> Replacement:
    """Return the one replacement that `old` and `new` mean in `text` (all with bare line feeds).

    Raises SeveralMatches when it is not unique, NoMatch when it is not there.
    """
    places = occurrences(text, old)
    if len(places) > 1:
        raise SeveralMatches(_lines_of(text, places), exactly=True)
    if places:
        return Replacement(places[0], places[0] + len(old), new)
    variants = without_numbers(old, new)
    if variants:
        best = next(
            (pair for pair in variants if len(occurrences(text, pair[0])) == 1), variants[0]
        )
        inner = find(text, *best)
        note = f"{NUMBERS_NOTE} {inner.note}".strip()
        return Replacement(inner.start, inner.end, inner.new, note)
    lines, (wanted, fresh) = text.split("\n"), _as_lines(old, new)
    changes, note = _by_lines(lines, wanted, fresh) or _by_parts(lines, wanted, fresh) or ([], "")
    if not changes:
        raise NoMatch(nearest_lines(lines, wanted))
    return _replacement(lines, changes, note)


def occurrences(text: str, part: str) -> list[int]:
    """Return every offset at which `part` begins, overlapping ones included."""
    found, place = [], text.find(part)
    while place >= 0:
        found.append(place)
        place = text.find(part, place + 1)
    return found


def _lines_of(text: str, places: Sequence[int]) -> list[int]:
    line, done, found = 1, 0, []
    for place in places:
        line += text.count("\n", done, place)
        done = place
        found.append(line)
    return found


def without_numbers(old: str, new: str) -> list[tuple[str, str]]:
    """Take off line numbers pasted from `read`; an empty list where that is not what they are.

    In `old` every line has one, rising one by one; in `new` some may, written in the same way.
    A space after the sign that follows the number may be its own or the line's: both are returned.
    """
    matches = [(_NUMBERED.match(line), line) for line in old.split("\n")]
    told = [int(match[1]) for match, _ in matches if match]
    bare = any(line.strip() for match, line in matches if not match)
    signs = {match[2] for match, _ in matches if match}
    if not told or bare or len(signs) > 1 or told != list(range(told[0], told[0] + len(told))):
        return []
    plausible = range(told[0], told[-1] + new.count("\n") + 2)

    def bared(line: str, gap: str) -> str:
        match = _NUMBERED.match(line)
        if match is None or match[2] not in signs or int(match[1]) not in plausible:
            return line
        return line[match.end() :].removeprefix(gap)

    def all_bared(text: str, gap: str) -> str:
        return "\n".join(bared(line, gap) for line in text.split("\n"))

    gaps = ("",) if "\t" in signs else (" ", "")
    return [(all_bared(old, gap), all_bared(new, gap)) for gap in gaps]


def _as_lines(old: str, new: str) -> tuple[list[str], list[str]]:
    """Split both; a line feed at the end of `old` says that it ends there, not one line more."""
    wanted, fresh = old.split("\n"), new.split("\n")
    if wanted[-1] == "":
        wanted.pop()
        if fresh[-1] == "":
            fresh.pop()
    return wanted, fresh


_Found = tuple[list[Hunk], str]


def _by_lines(lines: list[str], wanted: list[str], fresh: list[str]) -> _Found | None:
    """Match apart from white space, else apart from quotes. Raises SeveralMatches, NoMatch."""
    for key, note in ((stripped, INDENT_NOTE), (squeezed, INDENT_NOTE), (unquoted, QUOTES_NOTE)):
        places = regions(lines, wanted, key)
        if len(places) > 1:
            raise SeveralMatches([place[0] + 1 for place in places], exactly=False)
        if places:
            changes = hunks(lines, places[0], wanted, fresh)
            if not changes:
                raise NoMatch(range(places[0][0], places[0][-1] + 1))
            return changes, note
    return None


def _by_parts(lines: list[str], wanted: list[str], fresh: list[str]) -> _Found | None:
    """Match the parts around lines of '...' one by one; what these leave out stays as it is."""
    olds, news = _parts(wanted), _parts(fresh)
    if len(olds) < 2 or len(olds) != len(news):
        return None
    found: list[Hunk] = []
    before: int | None = None
    for old, new in zip(olds, news, strict=True):
        places = regions(lines, old, stripped)
        if not places and not "".join(old + new).strip():
            continue
        if len(places) != 1 or not _same_block(lines, before, places[0][0]):
            return None
        changes = hunks(lines, places[0], old, new)
        if changes is None:
            return None
        found += changes
        before = places[0][-1]
    return (found, ELLIPSIS_NOTE) if found else None


def _parts(lines: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for line in lines:
        if _ELLIPSIS.match(line):
            parts.append([])
        else:
            parts[-1].append(line)
    return parts


def _same_block(lines: list[str], before: int | None, after: int) -> bool:
    """Tell whether nothing between two lines ends the block that they are both in."""
    if before is None:
        return True
    opens = lines[before].rstrip().endswith((":", "{", "(", "["))
    depth = min(len(indent_of(lines[before])) + opens, len(indent_of(lines[after])))
    between = lines[before + 1 : after]
    return before < after and all(len(indent_of(line)) >= depth for line in between if line.strip())


def _replacement(lines: Sequence[str], changes: Sequence[Hunk], note: str) -> Replacement:
    """Turn changes of whole lines into one of the text that they were split from."""
    first, last = changes[0].first, changes[-1].last
    fresh: list[str] = []
    at = first
    for hunk in changes:
        fresh += [*lines[at : hunk.first], *hunk.lines]
        at = hunk.last
    sizes = [len(line) + 1 for line in lines]
    start, end = sum(sizes[:first]), sum(sizes[:last])
    new = "".join(f"{line}\n" for line in fresh)
    if last == len(lines):
        # The last line has no line feed, so the one before the change comes or goes instead.
        end -= 1
        new = new[:-1]
        if first == last:
            new = f"\n{new}"
        elif not fresh and start:
            start -= 1
    return Replacement(start, end, new, note)


def nearest_lines(lines: Sequence[str], wanted: Sequence[str]) -> range | None:
    """Return the stretch of lines most like those wanted, or None when nothing is like them."""
    wanted = wanted[:_MOST_LINES]
    keys, sought = [squeezed(line) for line in lines], [squeezed(line) for line in wanted]
    start = _best_start(keys, sought, lambda start: _agreement(lines, wanted, start))
    if start is None:
        return None
    low = max(start - _SLACK, 0)
    window = keys[low : start + len(sought) + _SLACK]
    blocks = [
        block
        for block in difflib.SequenceMatcher(None, sought, window, False).get_matching_blocks()
        if any(sought[block.a : block.a + block.size])
    ]
    if not blocks:
        return range(max(start, 0), min(start + len(sought), len(lines)))
    first, last = blocks[0], blocks[-1]
    begin = low + first.b - first.a
    end = low + last.b + len(sought) - last.a
    return range(max(begin, 0), min(end, len(lines)))


_SLACK = 5
"""Lines by which the nearest text may be shifted against the text looked for."""


def _best_start(
    keys: list[str], sought: list[str], agreement: Callable[[int], tuple[int, int]]
) -> int | None:
    """Return where most lines agree, rare and long ones counting more; else the likest line."""
    where: dict[str, list[int]] = {}
    for index, line in enumerate(keys):
        where.setdefault(line, []).append(index)
    votes: Counter[int] = Counter()
    for offset, line in enumerate(sought):
        places = where.get(line, []) if len(line) > 3 else []
        for index in places[:_MOST_PLACES]:
            votes[index - offset] += len(line) * 1000 // len(places)
    if votes:
        around = {start: sum(votes[start + i] for i in range(-2, 3)) for start in votes}
        best = sorted(around, key=lambda start: (-around[start], start))[:_CANDIDATES]
        return max(best, key=agreement)
    longest = sorted(range(len(sought)), key=lambda index: -len(sought[index]))
    for offset in longest[:3]:
        near = difflib.get_close_matches(sought[offset], list(where)[:5_000], n=1, cutoff=0.6)
        if near:
            return where[near[0]][0] - offset
    return None


_MOST_LINES = 300
_MOST_PLACES = 200
_CANDIDATES = 8


def _agreement(lines: Sequence[str], wanted: Sequence[str], start: int) -> tuple[int, int]:
    """Return how many characters of whole lines agree in order: without white space, and with."""
    window = lines[max(start - _SLACK, 0) : start + len(wanted) + _SLACK]
    return (
        _common([squeezed(line) for line in wanted], [squeezed(line) for line in window]),
        _common(list(wanted), list(window)),
    )


def _common(one: list[str], other: list[str]) -> int:
    blocks = difflib.SequenceMatcher(None, one, other, False).get_matching_blocks()
    return sum(len(line) for block in blocks for line in one[block.a : block.a + block.size])
