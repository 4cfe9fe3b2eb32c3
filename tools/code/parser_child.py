"""The process that parses foreign text: bounded in memory, and in processor time for each text.

Reads requests from standard input and writes one answer for each text to standard output, as JSON
behind its length. What exceeds a bound ends this process; the one that asks starts another.
"""

from __future__ import annotations

import ast
import contextlib
import json
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from typing import IO, Any

from reapair.tools.code.languages import LANGUAGES
from reapair.tools.code.syntax_errors import syntax_errors
from reapair.tools.code.tags import definitions, rows, tags, uses

MEMORY = 768 * 1024 * 1024
"""Bytes of address space; shared libraries take a part of it that is no memory."""

DATA = 160 * 1024 * 1024
"""Bytes of memory of its own."""


def seconds(size: int) -> float:
    """Return the processor time that a text of so many bytes may take.

    Real code takes a tenth of it. Not the clock counts: a busy machine changes nothing.
    """
    return 1.0 + size / 200_000


def main() -> None:
    """Answer until standard input ends; it does when the process that asks ends, however."""
    for number in (signal.SIGPROF, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    bounds = ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_DATA, DATA), (resource.RLIMIT_CORE, 0))
    for kind, most in bounds:
        with contextlib.suppress(OSError, ValueError):  # not every system has each
            resource.setrlimit(kind, (most, most))
    while line := sys.stdin.buffer.readline():
        _serve(json.loads(line), sys.stdin.buffer, sys.stdout.buffer)


def _serve(request: dict[str, Any], asked: IO[bytes], answers: IO[bytes]) -> None:
    # All of it first: then nobody waits for the other with a full pipe.
    texts = [asked.read(size) for size in request["sizes"]]
    work = _WORK[request["work"]]
    for text in texts:
        signal.setitimer(signal.ITIMER_PROF, seconds(len(text)))
        answer = json.dumps(work(text, request), separators=(",", ":")).encode()
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(len(answer).to_bytes(8, "big") + answer)
        answers.flush()


def _tags(text: bytes, request: dict[str, Any]) -> Any:
    found = tags(LANGUAGES[request["language"]], text)
    return [rows(found.definitions), dict(sorted(found.names.items()))]


def _definitions(text: bytes, request: dict[str, Any]) -> Any:
    return rows(definitions(LANGUAGES[request["language"]], text))


def _uses(text: bytes, request: dict[str, Any]) -> Any:
    known, lines = uses(LANGUAGES[request["language"]], text, request["name"])
    return [rows(known), lines]


def _errors(text: bytes, _: dict[str, Any]) -> Any:
    return syntax_errors(text.decode("utf-8", "replace"))


def _python(text: bytes, _: dict[str, Any]) -> Any:
    """Return why a text is no Python, and the line; None when it can be parsed elsewhere too."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as error:
        return [str(error), error.lineno or 1]
    except (ValueError, RecursionError) as error:
        return [str(error), 1]
    return None


_WORK: dict[str, Callable[[bytes, dict[str, Any]], Any]] = {
    "tags": _tags,
    "definitions": _definitions,
    "uses": _uses,
    "errors": _errors,
    "python": _python,
}
