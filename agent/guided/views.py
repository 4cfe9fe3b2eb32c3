"""What a question shows of the code: a function with what it needs to be understood, bounded."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from reapair.agent.guided.localise import Suspect
from reapair.tools.code.definitions import Definition
from reapair.tools.code.index import Indexed
from reapair.tools.code.languages import language_of
from reapair.tools.python_source import is_python, parse_python

LONGEST = 120
"""Lines of a function from which on it is not asked about: an answer would be cut."""

_SIBLING = 40
_ALIKE = 0.3
_CONSTANT = 12
_CALLS = 3
_WORD = re.compile(r"[A-Za-z_]\w+")
_CALLABLE = ("function", "method")


@dataclass(frozen=True, slots=True)
class Site:
    """A function as a question shows it; `calls` are of the failing test, as text."""

    path: str
    name: str
    code: str
    calls: tuple[str, ...] = ()
    good_calls: tuple[str, ...] = ()
    sibling: str = ""

    @property
    def short(self) -> str:
        """The name without what is around it."""
        return self.name.rpartition(".")[2]


def site_of(
    suspect: Suspect,
    text: str,
    entry: Indexed | None,
    calls: Sequence[str] = (),
    good_calls: Sequence[str] = (),
) -> Site:
    """Return what a question shows of a suspect.

    Args:
        suspect: the function.
        text: its file.
        entry: what the index knows of the file.
        calls, good_calls: how a failing and a passing test call it.
    """
    lines = text.split("\n")
    body = lines[suspect.start - 1 : suspect.end]
    around = [*_context(text, suspect), *_class_heads(lines, entry, suspect)]
    code = "\n".join([*around, *body])
    sibling = _sibling(lines, entry, suspect)
    return Site(
        suspect.path,
        suspect.name,
        code,
        tuple(dict.fromkeys(calls))[:_CALLS],
        tuple(dict.fromkeys(good_calls))[:2],
        sibling,
    )


def code_name(path: str) -> str:
    """Return what a code block of a file's language is called; "" for an unknown one."""
    language = language_of(path)
    return language.grammar.partition("tree_sitter_")[2].partition(":")[0] if language else ""


def function_source(text: str, path: str, name: str, most: int = 60) -> str:
    """Return the source of a test by the last part of its id; "" where it is not found."""
    if not is_python(path):
        return ""
    short = re.split(r"::|\.", name.partition("[")[0])[-1]
    with suppress(SyntaxError, RecursionError):
        for node in ast.walk(parse_python(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == short:
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                lines = text.split("\n")[first - 1 : node.end_lineno]
                return "\n".join(lines[:most])
    return ""


def _context(text: str, suspect: Suspect) -> list[str]:
    """Return the imports and constants of a Python module that a function uses."""
    if not is_python(suspect.path):
        return []
    lines = text.split("\n")
    used = set(_WORD.findall("\n".join(lines[suspect.start - 1 : suspect.end])))
    kept: list[str] = []
    try:
        body = parse_python(text).body
    except (SyntaxError, RecursionError):
        return []
    for node in body:
        source = lines[node.lineno - 1 : node.end_lineno]
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign) and len(source) <= _CONSTANT:
            names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and _stored(n)}
        else:
            continue
        if names & used:
            kept += source
    return [*kept, "", ""] if kept else []


def _stored(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _class_heads(lines: list[str], entry: Indexed | None, suspect: Suspect) -> list[str]:
    """Return the header of each class around a function."""
    return [
        lines[each.line - 1]
        for each in (entry.definitions if entry else ())
        if each.kind == "class" and each.start < suspect.start and suspect.end <= each.end
    ]


def _sibling(lines: list[str], entry: Indexed | None, suspect: Suspect) -> str:
    """Return the function of the same file that has most in common with the suspect."""
    own = _words(lines, suspect.start, suspect.end)
    best: tuple[float, Definition | None] = (_ALIKE, None)
    for each in entry.definitions if entry else ():
        if each.kind not in _CALLABLE or each.local or each.end - each.start >= _SIBLING:
            continue
        if each.start <= suspect.end and suspect.start <= each.end:
            continue
        # A function that only calls it does nothing alike.
        if suspect.name.rpartition(".")[2] in _words(lines, each.line + 1, each.end):
            continue
        words = _words(lines, each.start, each.end)
        alike = len(own & words) / max(1, len(own | words))
        if alike > best[0]:
            best = (alike, each)
    found = best[1]
    return _without_docstring(lines[found.start - 1 : found.end]) if found else ""


def _without_docstring(lines: list[str]) -> str:
    """Return a function's source without its docstring, which costs much and tells little."""
    source = "\n".join(lines)
    with suppress(SyntaxError, RecursionError, ValueError):
        [node] = parse_python(textwrap.dedent(source)).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
            first = node.body[0]
            if len(node.body) > 1 and first.lineno > node.lineno:
                return "\n".join([*lines[: first.lineno - 1], *lines[first.end_lineno :]])
    return source


def _words(lines: list[str], start: int, end: int) -> set[str]:
    return set(_WORD.findall("\n".join(lines[start - 1 : end])))
