"""An answer's bytes as JSON: events by the rules of the HTML standard, or one whole body.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any

from reapair.agent.model.limits import BODY_BYTES, TooMuch, parse_json

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class ServerError(Exception):
    """An error that came with status 200, in a stream or as its body."""

    def __init__(self, error: Any) -> None:
        self.error = error
        super().__init__(str(error))


def error_in(value: Any, event: str = "") -> Any:
    """Return the error that an event or a body holds instead of an answer, or None.

    LM Studio names only the event; FastAPI says `detail`; vLLM has said `"object": "error"`.
    """
    if not isinstance(value, dict):
        return None
    if value.get("error"):
        return value["error"]
    choices = value.get("choices")
    if isinstance(choices, list) and choices:  # a gateway may put it beside the delta
        return choices[0].get("error") or None if isinstance(choices[0], dict) else None
    words = any(isinstance(value.get(key), str) for key in ("message", "detail"))
    return value if event == "error" or value.get("object") == "error" or words else None


def split_answer(pieces: Iterable[bytes]) -> tuple[Any, Iterator[Any]]:
    """Return the value of an answer that is one JSON body, or None, and its events.

    The first byte tells which: no line of an event stream that means anything begins with a brace,
    and content types are not to be relied on.

    Raises ServerError for a web page, ValueError for JSON that can't be read.
    """
    pieces = iter(pieces)
    start = b""
    for piece in pieces:
        start = piece.removeprefix(_BOM).lstrip()
        if start:
            break
    rest = itertools.chain([start], pieces)
    if start.startswith(b"<"):
        raise ServerError("a web page instead of an answer")
    if not start.startswith((b"{", b"[")):
        return None, frames(rest)
    return parse_json(_whole(rest)), iter(())


def frames(pieces: Iterable[bytes]) -> Iterator[Any]:
    """Yield the JSON value of each event up to `[DONE]`.

    Raises ServerError for an event that is an error, ValueError for one that can't be read.
    """
    for name, data in _events(pieces):
        for text in _texts(data):
            if text == b"[DONE]":
                return
            if not text.startswith((b"{", b"[")) and not _is_json(text):
                raise ServerError(text.decode())
            value = parse_json(text)
            if (error := error_in(value, name)) is not None:
                raise ServerError(error)
            yield value


def _texts(data: bytes) -> list[bytes]:
    """Return what an event holds: one text, or one a line where no blank line parted them."""
    data = data.strip()
    return data.split(b"\n") if b"\n" in data and not _is_json(data) else [data]


def _is_json(text: bytes) -> bool:
    try:
        parse_json(text)
    except ValueError:
        return False
    return True


def _whole(pieces: Iterable[bytes]) -> bytes:
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > BODY_BYTES:
            raise TooMuch(f"a body of more than {BODY_BYTES >> 20} MB")
    return bytes(body)


def _events(pieces: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield name and data of each event that has data.

    The standard drops an event that no blank line follows; servers leave the last one out.
    """
    name, data, size = "", list[bytes](), 0
    for line in itertools.chain(_lines(pieces), [b""]):
        if not line:
            if size:
                yield name, b"\n".join(data)
            name, data, size = "", [], 0
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
            size += len(value) + (len(data) > 1)
            if size > BODY_BYTES:
                raise TooMuch(f"an event of more than {BODY_BYTES >> 20} MB")
        elif field == b"event":
            name = value[:100].decode("utf-8", "replace")


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream that comes in pieces of any size."""
    waiting, size = list[bytes](), 0
    after_return = False  # a line end of two bytes may come in two pieces
    for number, piece in enumerate(pieces):
        text = piece.removeprefix(b"\n") if after_return else piece
        text = text.removeprefix(_BOM) if number == 0 else text
        after_return = text.endswith(b"\r") if text else after_return and not piece
        *ended, last = _LINE_END.split(text)
        for end in ended:
            yield b"".join([*waiting, end])
            waiting, size = [], 0
        if last:
            waiting.append(last)
            size += len(last)
            if size > BODY_BYTES:
                raise TooMuch(f"a line of more than {BODY_BYTES >> 20} MB")
    if waiting:
        yield b"".join(waiting)
