"""Where `old_str` stands in a text: exactly, or apart from white space, or nowhere but nearly."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

_NUMBERED = re.compile(r"^ *(\d+)\t")


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
    """The text stands at several places; `lines` are where they begin (from 1)."""

    def __init__(self, lines: list[int]) -> None:
        super().__init__("several matches")
        self.lines = lines


def find(text: str, old: str, new: str) -> Replacement:
    """Return the one replacement that `old` and `new` mean in `text` (both with bare line feeds).

    Raises SeveralMatches when it is not unique, NoMatch when it is not there.
    """
    places = occurrences(text, old)
    if len(places) > 1:
        raise SeveralMatches([text.count("\n", 0, place) + 1 for place in places])
    if places:
        return Replacement(places[0], places[0] + len(old), new)
    plain = without_numbers(old)
    if plain is not None:
        inner = find(text, plain, without_numbers(new, partly=True) or new)
        return Replacement(inner.start, inner.end, inner.new, _join(_NUMBERS_NOTE, inner.note))
    return _find_loosely(text, old, new)


_NUMBERS_NOTE = "Line numbers were taken out of old_str and new_str."
_INDENT_NOTE = "old_str differed in white space only; new_str was indented like the file."


def _join(*notes: str) -> str:
    return " ".join(note for note in notes if note)


def occurrences(text: str, part: str) -> list[int]:
    """Return every offset at which `part` begins, overlapping ones included."""
    found, place = [], text.find(part)
    while place >= 0:
        found.append(place)
        place = text.find(part, place + 1)
    return found


def without_numbers(text: str, *, partly: bool = False) -> str | None:
    """Take off line numbers pasted from `read`, or return None where that is not what they are.

    They are recognised by rising one by one; with `partly`, lines without a number may be between.
    """
    lines = text.split("\n")
    numbers = [_NUMBERED.match(line) for line in lines]
    told = [int(match.group(1)) for match in numbers if match]
    bare = [line for line, match in zip(lines, numbers, strict=True) if not match and line.strip()]
    if not told or told != sorted(set(told)) or (bare and not partly):
        return None
    if not partly and told != list(range(told[0], told[0] + len(told))):
        return None
    return "\n".join(
        line[match.end() :] if match else line for line, match in zip(lines, numbers, strict=True)
    )


def _find_loosely(text: str, old: str, new: str) -> Replacement:
    """Match line by line without white space, and indent the new lines like those they replace."""
    lines = text.split("\n")
    wanted = old.split("\n")
    while wanted and not wanted[-1].strip():
        wanted.pop()
    skipped = next((i for i, line in enumerate(wanted) if line.strip()), 0)
    wanted = wanted[skipped:]
    if not wanted:
        raise NoMatch(None)
    keys, key = [_squeezed(line) for line in lines], [_squeezed(line) for line in wanted]
    places = [
        i
        for i in range(len(keys) - len(key) + 1)
        if keys[i] == key[0] and keys[i:][: len(key)] == key
    ]
    if len(places) > 1:
        raise SeveralMatches([place + 1 for place in places])
    if not places:
        raise NoMatch(nearest_lines(lines, wanted))
    first, last = places[0], places[0] + len(key)
    fresh = _reindented(lines[first:last], wanted, _trimmed(new))
    if fresh is None:
        raise NoMatch(range(first, last))
    start = sum(len(line) + 1 for line in lines[:first])
    end = start + sum(len(line) + 1 for line in lines[first:last]) - 1
    if not fresh and end < len(text):
        end += 1
    return Replacement(start, end, "\n".join(fresh), _INDENT_NOTE)


def _trimmed(new: str) -> list[str]:
    lines = new.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    while lines and not lines[0].strip():
        lines.pop(0)
    return lines


def _squeezed(line: str) -> str:
    return " ".join(line.split())


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _reindented(real: list[str], old: list[str], new: list[str]) -> list[str] | None:
    """Return `new` indented like the file; None where the file and `old` do not fit together."""
    meaning: dict[str, str] = {}
    for there, given in zip(real, old, strict=True):
        if there.strip() and meaning.setdefault(_indent(given), _indent(there)) != _indent(there):
            return None
    kept = _kept_lines(old, new)
    result = []
    for index, line in enumerate(new):
        if index in kept:
            result.append(real[kept[index]])
        elif not line.strip():
            result.append("")
        else:
            result.append(_translated(_indent(line), meaning) + line.lstrip())
    return result


def _kept_lines(old: list[str], new: list[str]) -> dict[int, int]:
    """Map the lines of `new` that are lines of `old`, unchanged, to where they stand there."""
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    return {
        block.b + i: block.a + i
        for block in matcher.get_matching_blocks()
        for i in range(block.size)
    }


def _translated(indent: str, meaning: dict[str, str]) -> str:
    """Return what an indentation of `new` is in the file, going by the nearest known one."""
    if indent in meaning:
        return meaning[indent]
    known = [given for given in meaning if indent.startswith(given)]
    if known:
        nearest = max(known, key=len)
        return meaning[nearest] + indent[len(nearest) :]
    outer = min(meaning, key=len)
    surplus = outer.removeprefix(indent)
    return meaning[outer].removesuffix(surplus)


def nearest_lines(lines: list[str], wanted: list[str]) -> range | None:
    """Return the stretch of lines most like those wanted, or None when nothing is like them."""
    size = len(wanted)
    key = [_squeezed(line) for line in wanted]
    anchors = {line for line in key if len(line) > 3}
    keys = [_squeezed(line) for line in lines]
    scores: dict[int, int] = {}
    for index, line in enumerate(keys):
        if line in anchors:
            for offset, other in enumerate(key):
                if other == line and index >= offset:
                    scores[index - offset] = scores.get(index - offset, 0) + len(line)
    if scores:
        best = min(scores, key=lambda place: (-scores[place], place))
        return range(best, min(best + size, len(lines)))
    longest = max(key, key=len)
    near = difflib.get_close_matches(longest, list(dict.fromkeys(keys))[:20_000], n=1, cutoff=0.6)
    if not near:
        return None
    place = max(keys.index(near[0]) - key.index(longest), 0)
    return range(place, min(place + size, len(lines)))
