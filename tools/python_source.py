"""Python source as text: its syntax tree, and its errors. Nothing of it runs."""

from __future__ import annotations

import ast
import threading
import warnings
from typing import Any

from reapair.tools.code.parsing import LARGEST, TooHardError, parse

_PARSING = threading.Lock()  # Python 3.11 counts the depth of all threads' trees as one.


def is_python(path: str) -> bool:
    """Return whether a file is Python source, by its name."""
    return path.endswith((".py", ".pyi"))


def parse_python(text: str | bytes) -> ast.Module:
    """Return the syntax tree. Raises SyntaxError for every text that has none, hostile ones too.

    The text is parsed in the bounded child first: what passes there is harmless here.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(data) > LARGEST:
        raise SyntaxError("It is too large to be parsed.")
    try:
        problem = parse("python", data)
    except TooHardError:
        raise SyntaxError("It takes too much time or memory to be parsed.") from None
    if problem:
        error = SyntaxError(problem[0])
        error.lineno = problem[1]
        raise error
    with _PARSING, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # What the text is warned of is not ours to say.
        try:
            return ast.parse(text)
        except (ValueError, RecursionError, MemoryError) as error:
            raise SyntaxError(str(error)) from error


def syntax_errors(text: str) -> list[int]:
    """Return the lines (from 1) where the text cannot be Python, whatever its version.

    Of what is too large or too hard to parse, none.
    """
    data = text.encode("utf-8", "replace")
    if len(data) > LARGEST:
        return []
    try:
        lines: list[int] = parse("errors", data)
    except TooHardError:
        return []
    return lines


def dump(tree: ast.AST) -> str:
    """Return a text that is the same for equal trees alone, as `ast.dump`; of any depth."""
    found: list[str] = []
    pending: list[Any] = [tree]
    while pending:
        each = pending.pop()
        if isinstance(each, ast.AST):
            found.append(f"{type(each).__name__}(")
            pending.append(_END)
            for name, value in reversed(list(ast.iter_fields(each))):
                pending += [value, _Name(name)]
        elif isinstance(each, list):
            found.append("[")
            pending += [_END, *reversed(each)]
        else:
            # Digits of a large number take a time that grows with their square, and are limited.
            found.append(f"{each:#x}" if type(each) is int else repr(each))
    return " ".join(found)


class _Name(str):
    """The name of a field, or the end of a node: not a value that the source holds."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


_END = _Name(")")
