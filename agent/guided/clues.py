"""What an issue's text, or a test's output, points at that a program can follow."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_LONGEST = 100_000
_ENOUGH = 2
"""Parts of a path that have to agree, its name among them, where the folders before them differ."""

_FRAMES = re.compile(
    r'File "(?P<a>[^"\n]+)", line (?P<an>\d+)(?:, in (?P<af>[\w.<>]+))?'
    r"|^\s*(?P<b>[\w./\\-]+\.\w{1,5}):(?P<bn>\d+): in (?P<bf>[\w.<>]+)"
    r"|^\s*(?P<c>[\w./\\-]+\.\w{1,5}):(?P<cn>\d+):"
    r"|\bat (?P<df>[\w.$<> \[\]]+ )?\(?(?:file://)?(?P<d>[^\s():]+\.\w{1,5}):(?P<dn>\d+)(?::\d+)?\)?"
    r"|^\s*(?P<e>/?[\w./\\-]+\.(?:go|rs|rb|php|java|kt)):(?P<en>\d+)\b",
    re.MULTILINE,
)
_TEST_ID = re.compile(r"[\w./-]+\.py(?:::[\w\[\].-]+)+")
_TEST_NAME = re.compile(r"\btest_\w+")
_EXCEPTION = re.compile(r"\b((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Warning|Exit))\b")


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a traceback: where, and in which function where the text says so."""

    path: str
    line: int
    function: str = ""


@dataclass(frozen=True, slots=True)
class Clues:
    """What a text names.

    Attributes:
        frames: of its tracebacks, in the order of the text.
        tests: ids and names of tests.
        exceptions: names of exceptions, without what they lie in.
    """

    frames: tuple[Frame, ...] = ()
    tests: frozenset[str] = frozenset()
    exceptions: frozenset[str] = frozenset()

    @classmethod
    def of(cls, text: str) -> Clues:
        """Read a text."""
        text = text[:_LONGEST]
        return cls(
            tuple(_frame(found) for found in _FRAMES.finditer(text)),
            frozenset(_TEST_ID.findall(text)) | frozenset(_TEST_NAME.findall(text)),
            frozenset(name.rpartition(".")[2] for name in _EXCEPTION.findall(text)),
        )

    def names_test(self, test: str) -> bool:
        """Return whether the text names a test, by its id, its file and name, or its name alone."""
        plain = test.partition("[")[0]
        last = re.split(r"::|\.", plain)[-1]
        return bool(self.tests.intersection((test, plain, last))) or any(
            test.startswith(f"{named}[") or plain.endswith(f"/{named}") for named in self.tests
        )


def _frame(found: re.Match[str]) -> Frame:
    for kind in "abcde":
        if found[kind] is not None:
            function = found[f"{kind}f"] if kind in "abd" else ""
            return Frame(found[kind].replace("\\", "/"), int(found[f"{kind}n"]), function or "")
    raise AssertionError("the pattern has no other part")


def nearest_path(named: str, paths: Iterable[str]) -> str | None:
    """Return the path of the repository that a text means, by the parts that both end with.

    A traceback from another machine has that machine's folders before the repository's. None
    where nothing fits, or several do equally well.
    """
    wanted = [part for part in named.split("/") if part not in ("", ".")]
    if not wanted:
        return None
    best: list[str] = []
    longest = 0
    for path in paths:
        parts = path.split("/")
        common = _common_end(wanted, parts)
        if common < min(len(parts), len(wanted), _ENOUGH):
            continue
        if common > longest:
            best, longest = [path], common
        elif common == longest:
            best.append(path)
    if named in best:
        return named
    return best[0] if len(best) == 1 else None


def _common_end(one: list[str], other: list[str]) -> int:
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        count += 1
    return count
