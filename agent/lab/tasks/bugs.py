"""Bugs made by SWE-smith's procedural modifiers; the code is only read, never run."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NOT_PRODUCT = frozenset({"setup.py", "conftest.py", "noxfile.py", "tasks.py", "docs", "examples"})


class NoGeneratorError(Exception):
    """The package that makes bugs is not installed."""


@dataclass(frozen=True, slots=True)
class Bug:
    """One changed file.

    Attributes:
        kind: the modifier's name, as SWE-smith has it.
        explanation: what it does, in a sentence.
        file: the changed file, relative to the repository.
        function: the function or class that was changed.
        text: the file's whole text with the bug.
    """

    kind: str
    explanation: str
    file: str
    function: str
    text: str

    @property
    def id(self) -> str:
        """Name that tells it from the repository's other bugs."""
        told = hashlib.sha256(self.file.encode() + b"\0" + self.text.encode()).hexdigest()
        return f"{self.kind}__{told[:8]}"


def bugs(repository: Path, files: Sequence[str], seed: int) -> Iterator[Bug]:
    """Yield different bugs in an order that the seed decides, each made when it is asked for.

    Args:
        repository: directory with the code.
        files: Python files of the product, relative to it.
        seed: of the order and of what each modifier does.

    Raises NoGeneratorError.
    """
    try:
        from swesmith.bug_gen.adapters.python import get_entities_from_file_py
        from swesmith.bug_gen.procedural.python import MODIFIERS_PYTHON
    except ImportError as error:
        raise NoGeneratorError(
            f"Bugs are made by SWE-smith ({error}). Install it: pip install 'reapair[eval]'"
        ) from error
    entities: list[Any] = []
    for name in files:
        try:
            get_entities_from_file_py(entities, str(repository / name))
        except (OSError, ValueError, AssertionError, IndexError, RecursionError):
            continue  # Code that it can't read gets no bugs.
    pairs = [(each, modifier) for each in entities for modifier in MODIFIERS_PYTHON]
    random.Random(seed).shuffle(pairs)  # noqa: S311
    seen: set[str] = set()
    for entity, modifier in pairs:
        if not modifier.can_change(entity):
            continue
        place = f"{seed} {Path(entity.file_path).relative_to(repository)} {entity.line_start}"
        modifier.rand = random.Random(place)  # noqa: S311
        rewrite = modifier.modify(entity)
        bug = rewrite and _bug(repository, entity, modifier, rewrite.rewrite)
        if bug and bug.text not in seen:
            seen.add(bug.text)
            yield bug


def is_product(path: str) -> bool:
    """Return whether a path is Python code that users of the project run."""
    from reapair.tools import is_test_file

    aside = _NOT_PRODUCT.intersection(path.split("/"))
    return path.endswith(".py") and not aside and not is_test_file(path)


def _bug(repository: Path, entity: Any, modifier: Any, rewrite: str) -> Bug | None:
    """Put the rewritten lines into the file; None where that changes nothing or can't be parsed."""
    from reapair.tools.python_source import parse_python

    before = Path(entity.file_path).read_text("utf-8")
    lines = before.splitlines(keepends=True)
    margin = " " * (entity.indent_level * entity.indent_size)
    new = [margin + line if line.strip() else line for line in rewrite.splitlines(keepends=True)]
    if not new:
        return None
    new[-1] = new[-1].rstrip("\n") + "\n"
    text = "".join([*lines[: entity.line_start - 1], *new, *lines[entity.line_end :]])
    try:
        parse_python(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if text == before:
        return None
    file = Path(entity.file_path).relative_to(repository).as_posix()
    return Bug(modifier.name, modifier.explanation, file, entity.name, text)
