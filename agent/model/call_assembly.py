"""Tool calls put together from the pieces in which servers send them.

A piece belongs to a call by its id, then by its index, then to the call that came last: gateways
and parsers leave out either, use one twice, or send the same arguments again at the end.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass, field
from typing import Any

from reapair.agent.model.limits import parse_json

_STRUCTURE = re.compile(r'\\.|\\\Z|["{}\[\]]', re.DOTALL)
_BLANK = re.compile(r"\s*")


@dataclass(slots=True)
class RawCall:
    """A tool call as the server gave it; nothing of it is checked."""

    id: str = ""
    name: str = ""
    arguments: str = ""


class CallAssembly:
    """Takes the entries of `tool_calls` as they come and returns the calls they make."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._by_index: dict[int, _Call] = {}

    def take(self, entry: dict[str, Any]) -> str:
        """Take one entry; return the piece of arguments in it."""
        function = entry.get("function")
        function = function if isinstance(function, dict) else {}
        call_id, name = _text(entry.get("id")), _text(function.get("name"))
        index = entry.get("index")
        index = index if isinstance(index, int) else None
        call = self._of(call_id, index)
        if call is None or (name and call.is_another(call_id, index, name)):
            call = _Call()
            self._calls.append(call)
        call.id = call.id or call_id
        call.name = name or call.name
        if index is not None:
            call.index = index if call.index is None else call.index
            self._by_index[index] = call
        if call_id:
            self._by_id[call_id] = call
        text = function.get("arguments")
        if isinstance(text, dict):  # Ollama and others forget that it is a string
            text = json.dumps(text, ensure_ascii=False)
        text = _text(text)
        call.add(text)
        return text

    def calls(self) -> list[RawCall]:
        """Return the calls in their order.

        One that came again is left out: nothing may run twice because it was sent twice. Where
        neither id nor index tells two calls with the same arguments apart, they are one.
        """
        found, seen = list[RawCall](), set[tuple[object, ...]]()
        for call in self._calls:
            raw = RawCall(call.id, call.name, call.arguments())
            marks = {(raw.name, raw.arguments, mark) for mark in (call.id, call.index)}
            if not marks & seen:
                found.append(raw)
            seen |= marks
        return found

    def _of(self, call_id: str, index: int | None) -> _Call | None:
        """Return the call that a piece with this id and index leads to."""
        by_id = self._by_id.get(call_id) if call_id else None
        by_index = self._by_index.get(index) if index is not None else None
        if by_index and by_id and by_index.id == call_id:  # one id at two indexes
            return by_index
        return by_id or by_index or (self._calls[-1] if self._calls else None)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


@dataclass(slots=True, eq=False)
class _Call:
    id: str = ""
    name: str = ""
    index: int | None = None
    pieces: list[str] = field(default_factory=list)
    _depth: int = 0
    _in_string: bool = False
    _cut_escape: str = ""
    _closed: bool = False

    def add(self, text: str) -> None:
        """Add a piece of arguments and follow whether their JSON has come to its end."""
        if not text:
            return
        self.pieces.append(text)
        text, self._cut_escape = self._cut_escape + text, ""
        for match in _STRUCTURE.finditer(text):
            mark = match[0]
            if mark == "\\":
                self._cut_escape = mark
            elif mark == '"':
                self._in_string = not self._in_string
            elif not self._in_string and mark in "{[":
                self._depth, self._closed = self._depth + 1, False
            elif not self._in_string and mark in "}]":
                self._depth -= 1
                self._closed = self._depth <= 0

    def is_another(self, call_id: str, index: int | None, name: str) -> bool:
        """Return whether a named piece that leads here begins another call."""
        if not self.name:
            return False
        if call_id and self.id and call_id != self.id:
            return True
        if index is not None and self.index is not None and index != self.index:
            return True
        # An empty object stands in front of the arguments on some servers.
        if not self.pieces or self.pieces == ["{}"]:
            return name != self.name
        return self._closed

    def arguments(self) -> str:
        """Return the arguments as one text, without what was only sent again."""
        text = "".join(self.pieces)
        if len(self.pieces) == 1 or _is_object(text):
            return text
        *parts, last = self.pieces or [""]
        grown = all(after.startswith(before) for before, after in itertools.pairwise(self.pieces))
        if (grown or last.startswith("".join(parts))) and _is_object(last):
            return last
        return _once(text)


def _is_object(text: str) -> bool:
    try:
        return isinstance(parse_json(text), dict)
    except ValueError:
        return False


def _once(text: str) -> str:
    """Return the one object that a text repeats, empty ones aside; else the text."""
    decoder, objects, end = json.JSONDecoder(), dict[str, str](), 0
    try:
        while end < len(text):
            start = end
            value, end = decoder.raw_decode(text, start)
            if value != {}:
                objects[json.dumps(value, sort_keys=True)] = text[start:end]
            end = _BLANK.match(text, end).end()  # type: ignore[union-attr]
    except (ValueError, RecursionError):
        return text
    return next(iter(objects.values())) if len(objects) == 1 else text
