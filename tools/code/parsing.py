"""Parsing foreign text in a process of its own, which may die of it.

tree-sitter takes time and memory that grow with the square of some texts, and crashes on others;
nothing inside it can be interrupted. So all of it happens in one child, kept for the next text.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal, cast

LARGEST = 512 * 1024
"""Bytes from which a text is not parsed at all."""

Work = Literal["tags", "definitions", "uses", "errors", "python"]

_TRIES = 3
_ANSWER_SECONDS = 60.0
_DYING_SECONDS = 0.5
_BY_OTHERS = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP)
_LONGEST_ANSWER = 64 * 1024 * 1024
# The package's own __init__ would load every tool, in half a second.
_START = """
import sys, types
root, tools = sys.argv[1:]
sys.path.insert(0, root)
package = sys.modules["reapair.tools"] = types.ModuleType("reapair.tools")
package.__path__ = [tools]
from reapair.tools.code.parser_child import main
main()
"""


class TooHardError(Exception):
    """A text exceeds what parsing may take, in time or in memory."""


def parse(work: Work, text: bytes, **facts: str) -> Any:
    """Return what the child says of one text. Raises TooHardError."""
    for answer in parse_all(work, [text], **facts):
        if answer is None:
            break
        return json.loads(answer)
    raise TooHardError


def parse_all(work: Work, texts: Sequence[bytes], **facts: str) -> Iterator[bytes | None]:
    """Yield what the child says of each text, as JSON; None for one that exceeds a bound.

    Args:
        work: what is done with them.
        texts: at most LARGEST bytes each; together, what may be in memory twice.
        facts: what the work needs to know beside the text.
    """
    with _LOCK:
        done = tries = 0
        while done < len(texts):
            for answer in _CHILD.ask(work, texts[done:], facts):
                done, tries = done + 1, 0
                yield answer
            if done < len(texts):
                tries = tries + 1 if _CHILD.killed else _TRIES
            if tries == _TRIES:
                done, tries = done + 1, 0
                yield None


class _Child:
    """The process, started when it is needed, and again after it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self.killed = False
        """Whether the last one was ended by somebody else, so that the text may be good."""

    def ask(self, work: Work, texts: Sequence[bytes], facts: dict[str, str]) -> Iterator[bytes]:
        """Yield the answers for the texts; fewer when the process dies over one of them."""
        process = self._running()
        request = {"work": work, "sizes": [len(text) for text in texts], **facts}
        asked, answers = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        finished = False
        try:
            asked.write(b"".join([json.dumps(request).encode(), b"\n", *texts]))
            asked.flush()
            for number, _ in enumerate(texts, 1):
                answer = _answer(answers.fileno())
                # Whoever stops listening before must not leave answers for the next one.
                finished = number == len(texts)
                yield answer
        except OSError:
            return
        finally:
            if not finished:
                self._end(process)

    def _running(self) -> subprocess.Popen[bytes]:
        known = self._process
        # After a fork the process is the parent's.
        if known is not None and known.poll() is None and self._owner == os.getpid():
            return known
        tools = Path(__file__).resolve().parents[1]
        root = Path(sys.modules[__name__.partition(".")[0]].__path__[0]).parent
        self._owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, str(root), str(tools)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,  # Ctrl-C is not for it
        )
        return self._process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        try:
            self.killed = process.wait(_DYING_SECONDS) in _BY_OTHERS
        except subprocess.TimeoutExpired:
            self.killed = False
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                cast(IO[bytes], pipe).close()


def _answer(answers: int) -> bytes:
    """Return the next answer. Raises OSError when there is none in time, or none of ours."""
    deadline = time.monotonic() + _ANSWER_SECONDS
    size = int.from_bytes(_exactly(answers, 8, deadline), "big")
    if size > _LONGEST_ANSWER:
        raise OSError
    return _exactly(answers, size, deadline)


def _exactly(answers: int, size: int, deadline: float) -> bytes:
    found = bytearray()
    while len(found) < size:
        left = max(0.0, deadline - time.monotonic())
        piece = select.select([answers], [], [], left)[0] and os.read(answers, size - len(found))
        if not piece:
            raise OSError
        found += piece
    return bytes(found)


_LOCK = threading.Lock()
_CHILD = _Child()
