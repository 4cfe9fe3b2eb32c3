"""What tree-sitter knows about Python source: definitions and syntax errors. Text only."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

_SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING}
_DEFINITIONS = {"class_definition", "function_definition"}


@dataclass(frozen=True, slots=True)
class Definition:
    """A class or function: dotted name, header line, first and last line (from 1), depth."""

    name: str
    header: str
    start: int
    end: int
    depth: int


def is_python(path: str) -> bool:
    """Tell from its name whether a file is Python source."""
    return path.endswith((".py", ".pyi"))


def definitions(text: str) -> list[Definition]:
    """Return classes, functions and methods in the order of the text; functions' insides not."""
    try:
        return list(_walk(_tree(text), "", 0))
    except RecursionError:
        return []


def enclosing(found: list[Definition], line: int, *, but_not_at: bool = False) -> Definition | None:
    """Return the innermost definition that holds a line (from 1).

    With `but_not_at` the line is the header of a definition itself, and what is around it counts.
    """
    around = [entry for entry in found if entry.start <= line <= entry.end]
    return max(around[:-1] if but_not_at else around, key=lambda entry: entry.start, default=None)


def syntax_errors(text: str) -> list[int]:
    """Return the lines (from 1) where the text cannot be Python, whatever its version."""
    root = _tree(text)
    try:
        found = set(_errors(root)) if root.has_error else set()
    except RecursionError:
        found = {1}
    return sorted(found | set(_layout_errors(text)))


@cache
def _parser() -> Parser:
    import tree_sitter_python
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_python.language()))


def _tree(text: str) -> Node:
    return _parser().parse(text.encode("utf-8", "replace")).root_node


def _walk(node: Node, prefix: str, depth: int) -> Iterator[Definition]:
    for child in node.children:
        inner = child.child_by_field_name("definition") or child
        if inner.type not in _DEFINITIONS:
            if inner.type in {"if_statement", "try_statement", "else_clause", "block"}:
                yield from _walk(inner, prefix, depth)
            continue
        name, body = inner.child_by_field_name("name"), inner.child_by_field_name("body")
        if name is None or name.text is None or body is None:
            continue
        full = prefix + name.text.decode("utf-8", "replace")
        yield Definition(full, _header(inner, body), child.start_point[0] + 1, _last(inner), depth)
        if inner.type == "class_definition":
            yield from _walk(body, f"{full}.", depth + 1)


def _header(node: Node, body: Node) -> str:
    source = (node.text or b"")[: body.start_byte - node.start_byte]
    # A comment between the header and the body belongs to neither.
    first, *rest = source.decode("utf-8", "replace").split("\n")
    lines = [first, *(line for line in rest if not line.strip().startswith("#"))]
    return " ".join(" ".join(lines).split())


def _last(node: Node) -> int:
    row, column = node.end_point
    return row + 1 if column else row


def _errors(node: Node) -> Iterator[int]:
    if node.is_error or node.is_missing:
        yield node.start_point[0] + 1
        return
    for child in node.children:
        if child.has_error or child.is_missing:
            yield from _errors(child)


def _layout_errors(text: str) -> Iterator[int]:
    """Find wrong indentation, which tree-sitter overlooks: a block follows a colon, and only that.

    The tokenizer only cuts text into pieces; nothing of it is compiled.
    """
    colon = after_newline = False
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in _SILENT:
                continue
            if token.type == tokenize.INDENT:
                if not colon:
                    yield token.start[0]
            elif colon and after_newline:
                yield token.start[0]
            after_newline = token.type == tokenize.NEWLINE
            if token.type != tokenize.NEWLINE:
                colon = token.string == ":" and token.type == tokenize.OP
            if token.type == tokenize.INDENT:
                colon = False
    except IndentationError as error:
        yield error.lineno or 1
    except (tokenize.TokenError, SyntaxError):
        return
