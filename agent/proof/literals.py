"""Literals that a patch brings into product code, and the same ones in the tests that show it."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from reapair.agent.proof.changes import Change
from reapair.tools.python_source import parse_python


def added_literals(changes: Iterable[Change]) -> set[str]:
    """Return the telling literals on added lines inside functions: a module's table is data."""
    found: set[str] = set()
    for change in changes:
        if change.support or not change.python:
            continue
        try:
            tree = parse_python(change.after)
        except SyntaxError:
            continue
        functions = (
            n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        )
        for node in {node for each in functions for node in ast.walk(each)}:
            if getattr(node, "lineno", 0) in change.added:
                found |= _shapes([node])
    return found


def is_given(shown: str, added: set[str]) -> bool:
    """Return whether a value, as `repr` shows it, or a part of it, is one of the literals."""
    try:
        return bool(_shapes(ast.walk(ast.parse(shown, mode="eval"))) & added)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def answers_in(source: str, test: str, added: set[str]) -> bool:
    """Return whether what a test (`Class::name`) expects is among the literals."""
    name = test.rpartition("::")[2]
    for node in ast.walk(parse_python(source)):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            compared = [n for n in ast.walk(node) if isinstance(n, ast.Compare | ast.Call)]
            sides = [s for n in compared for s in _sides(n)]
            return bool(_shapes(n for side in sides for n in ast.walk(side)) & added)
    return False


def _sides(node: ast.Compare | ast.Call) -> list[ast.expr]:
    if isinstance(node, ast.Compare):
        return [node.left, *node.comparators]
    named = ast.unparse(node.func)
    if named.endswith("parametrize"):
        return [n for arg in node.args[1:] for n in ast.walk(arg) if isinstance(n, ast.expr)]
    return node.args if "assert" in named.lower() else []


def _shapes(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the values of literals as text; text of a value is as good as the value."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Constant | ast.List | ast.Tuple | ast.Set | ast.Dict | ast.UnaryOp):
            try:
                value = ast.literal_eval(node)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                continue
            if _telling(value):
                found.add(value if isinstance(value, str) else str(value).strip("()[],"))
    return found


def _telling(value: object) -> bool:
    """Return whether a value is too odd to be a natural border case."""
    if isinstance(value, bool | complex) or value is None or value is ...:
        return False
    if isinstance(value, int):
        return abs(value) > 10
    return isinstance(value, float) or len(value) > 1  # type: ignore[arg-type]
