"""JUnit's XML, which Maven, Gradle and many others write; a file may be anything at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.parsers import expat

from reapair.tools.observation import clip, stable
from reapair.tools.testing.test_outcomes import CAPTURED_LIMIT, FAILURE_LIMIT, Status, SuiteOutcome

_MOST_TEXT = 64 * 1024
_BAD: dict[str, Status] = {"failure": "failed", "error": "error", "skipped": "skipped"}
_CAPTURED = ("system-out", "system-err")


class HostileXMLError(ValueError):
    """A document with a type declaration or entities of its own; reports have neither."""


@dataclass(slots=True)
class Case:
    """One `testcase` element. `text` holds what its failure says, `captured` what it printed."""

    place: str
    name: str
    status: Status = "passed"
    message: str = ""
    text: str = ""
    captured: str = ""


def cases(document: bytes) -> list[Case]:
    """Return the test cases of one document, in their order.

    Raises ValueError for what is not well-formed, HostileXMLError for what declares entities.
    """
    reader = _Reader()
    try:
        reader.parser.Parse(document, True)
    except expat.ExpatError as error:
        raise ValueError(f"not well-formed: {error}") from None
    return reader.found


class _Reader:
    """Keeps text of known elements only, and of each no more than a bounded piece."""

    def __init__(self) -> None:
        self.found: list[Case] = []
        self._inside: list[str] = []
        self._case: Case | None = None
        self._text: list[str] = []
        self._room = 0
        self.parser = expat.ParserCreate()
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def _refuse(self, *_: object) -> None:
        raise HostileXMLError("it declares a document type or entities")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._inside.append(tag)
        if len(self._inside) > 100:
            raise ValueError("nested too deeply")
        if tag == "testcase":
            self._case = Case(attributes.get("classname", ""), attributes.get("name", ""))
            self.found.append(self._case)
        elif self._case and tag in _BAD and self._case.status not in ("failed", "error"):
            self._case.status = _BAD[tag]
            self._case.message = attributes.get("message", "")[:_MOST_TEXT]
        self._text, self._room = [], _MOST_TEXT

    def _characters(self, text: str) -> None:
        if self._case and self._inside[-1] in (*_BAD, *_CAPTURED) and self._room > 0:
            self._text.append(text[: self._room])
            self._room -= len(text)

    def _end(self, tag: str) -> None:
        self._inside.pop()
        if tag == "testcase":
            self._case = None
        elif self._case and tag in _BAD:
            self._case.text = self._case.text or "".join(self._text)
        elif self._case and tag in _CAPTURED:
            self._case.captured += "".join(self._text)
        self._text = []


_FRAME = re.compile(r"^\s+at (?P<place>[\w.$/<>]+)\((?P<file>[^()]*)\)$")
_FOREIGN = re.compile(
    r"^(?:[\w.@-]+//?)?(?:java|javax|jdk|sun|com\.sun|org\.junit|junit|org\.apache\.maven"
    r"|org\.gradle|org\.testng|org\.hamcrest|org\.assertj|org\.mockito)\."
)


def outcome_of(documents: list[bytes]) -> SuiteOutcome | None:
    """Read several documents as one run; a bad one counts as tests that could not be collected."""
    outcome = SuiteOutcome()
    for document in documents:
        try:
            found = cases(document)
        except ValueError as problem:
            outcome.collected_ok = False
            outcome.inconsistent = f"a report could not be read: {problem}"
            continue
        for case in found:
            _take(outcome, case)
    return outcome if outcome.statuses or not outcome.collected_ok else None


def _take(outcome: SuiteOutcome, case: Case) -> None:
    name = re.sub(r"\(\)$", "", case.name)
    test = f"{case.place}::{name}" if case.place else name
    if outcome.statuses.get(test) in ("failed", "error"):
        return
    outcome.statuses[test] = case.status
    if case.status in ("failed", "error"):
        parts = [clip(_condensed(case), FAILURE_LIMIT)]
        if case.captured.strip():
            parts.append(f"Captured output:\n{clip(case.captured.strip(), CAPTURED_LIMIT)}")
        outcome.failures[test] = stable("\n".join(parts))


def _condensed(case: Case) -> str:
    """Keep the message and the frames that are not the language's or a test library's."""
    lines = [line.rstrip() for line in (case.text or case.message).splitlines() if line.strip()]
    kept = []
    for line in lines:
        frame = _FRAME.match(line)
        if frame is None or not _FOREIGN.match(frame["place"]):
            kept.append(line)
    return "\n".join(kept)
