"""Where the fault may lie: functions ranked by what the issue says and by what tests execute.

No model is asked. Each source of evidence gives a function a weight between 0 and 1; what several
of them point at counts for more, as independent chances do.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reapair.agent.guided.clues import Clues, Frame, nearest_path
from reapair.tools import is_test_file
from reapair.tools.code.definitions import Definition
from reapair.tools.code.hints import Hints
from reapair.tools.code.index import Indexed
from reapair.tools.code.ranking import ranked

MOST = 8
"""Suspects at most: the faulty function is among them, or another way has to be taken."""

_FRAME_WEIGHTS = (0.9, 0.6, 0.45, 0.35, 0.3)
"""Of the last frame of the issue's traceback inside the project, the one before it, and so on."""

_FAILURE_SHARE = 0.6
"""What the frames of a failing test's output weigh beside those that the issue shows."""

_MAKER_SHARE = 0.5
_SPECTRUM_WEIGHT = 0.85
_WORDS_WEIGHT = 0.5
_LATEST_WEIGHT = 0.25
_SIZE_WEIGHT = 0.15
_SIZE = 20
"""Executed lines from which a function counts as large: more lines can hold more mistakes."""

_NAMED, _CLOSE = "named in the issue", "close to what the issue names"
_BY_WORDS = frozenset({_NAMED, _CLOSE})
_NOT_EXECUTED = 0.4
"""What is left of a function's weights that no failing test executes."""

_CALLABLE = ("function", "method")

Key = tuple[str, str, int]
"""Path, dotted name and first line of a function."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A function that may hold the fault; lines count from 1, `start` is with decorators."""

    path: str
    name: str
    start: int
    end: int
    score: float
    reasons: tuple[str, ...]

    @property
    def place(self) -> str:
        """How people are told of it."""
        return f"{self.path}:{self.start} {self.name}"


@dataclass(frozen=True, slots=True)
class Executed:
    """What tests execute.

    Attributes:
        failing, passing: lines by path, by test.
        latest: path and first line of the functions that a failing test entered, the last first.
    """

    failing: Mapping[str, Mapping[str, frozenset[int]]] = field(default_factory=dict)
    passing: Mapping[str, Mapping[str, frozenset[int]]] = field(default_factory=dict)
    latest: Sequence[tuple[str, int]] = ()


class _Evidence:
    """Weights with their reasons, by function."""

    def __init__(self) -> None:
        self._found: defaultdict[Key, dict[str, float]] = defaultdict(dict)
        self._ends: dict[Key, int] = {}

    def add(self, path: str, place: Definition, weight: float, reason: str) -> None:
        """Note a reason; of the same one only the strongest counts."""
        key = (path, place.name, place.start)
        self._ends[key] = place.end
        self._found[key][reason] = max(weight, self._found[key].get(reason, 0.0))

    def weaken(self, kept: set[Key]) -> None:
        """Take weight from the words that speak for functions which are not kept.

        What a traceback says stays: a constructor may have run when the tests were collected.
        """
        for key, reasons in self._found.items():
            if key not in kept:
                for reason in _BY_WORDS.intersection(reasons):
                    reasons[reason] *= _NOT_EXECUTED

    def suspects(self) -> list[Suspect]:
        """Return the functions, the most likely first."""
        made = []
        for (path, name, start), reasons in self._found.items():
            score = 1 - math.prod(1 - weight for weight in reasons.values())
            told = sorted(reasons, key=lambda reason: -reasons[reason])
            end = self._ends[path, name, start]
            made.append(Suspect(path, name, start, end, round(score, 4), tuple(told)))
        return sorted(made, key=lambda each: (-each.score, each.path, each.start))


def localise(
    files: Mapping[str, Indexed],
    issue: str,
    executed: Executed | None = None,
    failures: Iterable[str] = (),
) -> list[Suspect]:
    """Return the functions that most likely hold the fault, at most `MOST`.

    Args:
        files: the index of the repository.
        issue: its text.
        executed: lines by test, where tests were run under the recorder.
        failures: what failing tests said.
    """
    product = {path: entry for path, entry in files.items() if not is_test_file(path)}
    evidence = _Evidence()
    _by_frames(evidence, product, Clues.of(issue).frames, 1.0, "the issue's traceback")
    for text in failures:
        frames = Clues.of(text).frames
        _by_frames(evidence, product, frames, _FAILURE_SHARE, "the failing test's traceback")
    _by_words(evidence, files, issue)
    if executed and executed.failing:
        _by_execution(evidence, product, executed)
    return evidence.suspects()[:MOST]


def function_at(entry: Indexed, line: int) -> Definition | None:
    """Return the outermost function around a line; a function inside one is shown with it."""
    return next(
        (
            place
            for place in entry.definitions
            if place.kind in _CALLABLE and not place.local and place.start <= line <= place.end
        ),
        None,
    )


def _by_frames(
    evidence: _Evidence,
    files: Mapping[str, Indexed],
    frames: tuple[Frame, ...],
    share: float,
    source: str,
) -> None:
    """Take the frames inside the project, the last one first."""
    inside: list[tuple[str, Definition]] = []
    for frame in reversed(frames):
        path = nearest_path(frame.path, files)
        place = _place_of(files[path], frame) if path else None
        if path and place and (path, place.name) not in [(p, d.name) for p, d in inside]:
            inside.append((path, place))
    for (path, place), weight in zip(inside, _FRAME_WEIGHTS, strict=False):
        evidence.add(path, place, weight * share, f"in {source}")
        if maker := _maker_of(files[path], place):
            reason = f"sets up the object of a method in {source}"
            evidence.add(path, maker, weight * share * _MAKER_SHARE, reason)


def _maker_of(entry: Indexed, place: Definition) -> Definition | None:
    """Return the constructor of a method's class: what the method finds was put there by it."""
    around = place.name.rpartition(".")[0]
    wanted = {f"{around}.__init__", f"{around}.constructor", f"{around}.initialize"}
    known = (d for d in entry.definitions if d.kind in _CALLABLE and d.name in wanted)
    return next(known, None) if around and place.name not in wanted else None


def _place_of(entry: Indexed, frame: Frame) -> Definition | None:
    """Return a frame's function, by its name where line numbers are of another state."""
    at_line = function_at(entry, frame.line)
    short = frame.function.rpartition(".")[2]
    if not short or short.startswith("<") or (at_line and at_line.short == short):
        return at_line
    functions = [d for d in entry.definitions if d.kind in _CALLABLE and not d.local]
    named = [d for d in functions if d.short == short]
    return min(named, key=lambda d: abs(d.line - frame.line), default=at_line)


def _by_execution(evidence: _Evidence, files: Mapping[str, Indexed], executed: Executed) -> None:
    scores, lines = ochiai(files, executed)
    if not scores:
        return
    evidence.weaken({(path, place.name, place.start) for path, place in scores})
    count = len(executed.failing)
    which = "the failing test" if count == 1 else f"{count} failing tests"
    for (path, place), score in scores.items():
        evidence.add(path, place, _SPECTRUM_WEIGHT * score, f"executed by {which}")
        size = min(1.0, len(lines[path, place]) / _SIZE)
        evidence.add(path, place, _SIZE_WEIGHT * size, "much of it is executed")
    entered = [(p, function_at(files[p], line)) for p, line in executed.latest if p in files]
    latest = dict.fromkeys((path, found) for path, found in entered if found)
    for number, (path, found) in enumerate(latest):
        weight = _LATEST_WEIGHT * (1 - number / len(latest))
        evidence.add(path, found, weight, "entered shortly before the failure")


def ochiai(
    files: Mapping[str, Indexed], executed: Executed
) -> tuple[dict[tuple[str, Definition], float], dict[tuple[str, Definition], set[int]]]:
    """Return how closely each function goes with the failures, and its lines in them.

    1.0 is executed by all tests that fail and by no others.
    Half of it is told by the function being entered, half by its most telling line: where every
    test enters a function, the failing ones may still take a branch of their own.
    """
    failing = [_functions(files, lines) for lines in executed.failing.values()]
    passing = [_functions(files, lines) for lines in executed.passing.values()]
    everything: dict[tuple[str, Definition], set[int]] = {}
    for test in failing:
        for key, lines in test.items():
            everything.setdefault(key, set()).update(lines)
    scores = {}
    for key, lines in everything.items():
        entered = _score(failing, passing, lambda test, key=key: key in test)
        by_line = max(
            _score(failing, passing, lambda test, key=key, n=n: n in test.get(key, ()))
            for n in lines
        )
        scores[key] = (entered + by_line) / 2
    return scores, everything


def _score(failing: list[Any], passing: list[Any], covers: Any) -> float:
    hit = sum(covers(test) for test in failing)
    others = sum(covers(test) for test in passing)
    return hit / math.sqrt(len(failing) * (hit + others)) if hit else 0.0


def _functions(
    files: Mapping[str, Indexed], lines: Mapping[str, frozenset[int]]
) -> dict[tuple[str, Definition], set[int]]:
    """Return the functions that lines lie in, each with its lines."""
    found: defaultdict[tuple[str, Definition], set[int]] = defaultdict(set)
    for path, numbers in lines.items():
        for number in numbers if path in files else ():
            place = function_at(files[path], number)
            if place is not None:
                found[path, place].add(number)
    return dict(found)


def _by_words(evidence: _Evidence, files: Mapping[str, Indexed], issue: str) -> None:
    """Take the repository map's ranking: names the issue says, and who uses whose names."""
    hints = Hints.of(issue)
    found = [
        (score, path, place)
        for score, path, place in ranked(files, hints)
        if place.kind in _CALLABLE and not place.local and not is_test_file(path)
    ]
    best = found[0][0] if found else 0.0
    for score, path, place in found[: 4 * MOST]:
        if best <= 0:
            break
        named = place.short in hints.code or place.short in hints.words
        reason = _NAMED if named else _CLOSE
        evidence.add(path, place, _WORDS_WEIGHT * min(1.0, score / best), reason)
