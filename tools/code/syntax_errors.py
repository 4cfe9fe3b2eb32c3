"""Where a text cannot be Python. For the child that parses: foreign text can make it hang."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Iterator
from typing import TYPE_CHECKING

from reapair.tools.code.languages import PYTHON, grammar

if TYPE_CHECKING:
    from tree_sitter import Node

_SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING}


def syntax_errors(text: str) -> list[int]:
    """Return the lines (from 1) where the text cannot be Python, whatever its version."""
    root = _tree(text)
    try:
        found = set(_errors(root)) if root.has_error else set()
    except RecursionError:
        found = {1}
    return sorted(found | set(_layout_errors(text)))


def _tree(text: str) -> Node:
    from tree_sitter import Parser

    return Parser(grammar(PYTHON)).parse(text.encode("utf-8", "replace")).root_node


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
