"""Code that answers for the input of its own test, and for nothing else."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from reapair.agent.proof.changes import Change
from reapair.tools.python_source import parse_python


def special_cases(changes: list[Change]) -> list[str]:
    """Return a sentence for each place that compares with a test's input and gives its answer.

    Both have to stand in the lines of tests that the patch brings, and the answer right below the
    question: a table that a whole module shares is data, not an answer.
    """
    known = {shape for c in changes if c.support for shape in _shapes(_added(c))}
    if not known:
        return []
    found = []
    for change in (c for c in changes if not c.support and c.python):
        for node in _added(change):
            for asked, given in _questions(node):
                inputs = [each for each in asked if _telling(each) and _shape(each) in known]
                if inputs and any(_shape(each) in known for each in given):
                    shown = ast.unparse(inputs[0])[:60]
                    line = getattr(node, "lineno", 0)
                    found.append(f"{change.path}:{line} answers for its own test's input, {shown}.")
    return list(dict.fromkeys(found))


def _added(change: Change) -> list[ast.AST]:
    """Return the nodes that the patch brings into functions of a Python file."""
    if not change.python:
        return []
    try:
        tree = parse_python(change.after)
    except SyntaxError:
        return []
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = (tree,) if change.support else functions
    nodes = {node for each in inside for node in ast.walk(each)}
    return [n for n in nodes if getattr(n, "lineno", 0) in change.added]


def _shapes(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.expr) and _is_literal(node):
            yield _shape(node)


def _shape(node: ast.expr) -> str:
    """Return a literal's value; text of a value is as good as the value."""
    value = ast.literal_eval(node)
    return value if isinstance(value, str) else str(value)


def _is_literal(node: ast.AST) -> bool:
    if not isinstance(node, ast.Constant | ast.List | ast.Tuple | ast.Set | ast.Dict | ast.UnaryOp):
        return False
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _telling(node: ast.expr) -> bool:
    """Tell whether a value is too odd to be a natural border case."""
    value = ast.literal_eval(node)
    if isinstance(value, bool | float | complex) or value is None or value is ...:
        return isinstance(value, float)
    return abs(value) > 10 if isinstance(value, int) else len(value) > 1


def _questions(node: ast.AST) -> Iterator[tuple[list[ast.expr], list[ast.expr]]]:
    """Yield values compared with, and values given for them."""
    if isinstance(node, ast.If):
        given = [e for s in node.body for e in ast.walk(s) if isinstance(e, ast.expr)]
        yield _compared(node.test), list(filter(_is_literal, given))
    elif isinstance(node, ast.IfExp):
        yield _compared(node.test), list(filter(_is_literal, [node.body]))
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None and _is_literal(key) and _is_literal(value):
                yield [key], [value]


def _compared(test: ast.expr) -> list[ast.expr]:
    sides = [
        side
        for node in ast.walk(test)
        if isinstance(node, ast.Compare)
        for side in (node.left, *node.comparators)
    ]
    return list(filter(_is_literal, sides))
