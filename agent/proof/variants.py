"""A test file with copies of some of its tests: expectations altered, and inputs nudged.

An altered test has to fail; one that passes says nothing. A nudged one always fails, with what the
code did for an input next to the test's own, so that two sides can be compared without judging
either. Copies stand in the same file, because imports, fixtures and helpers then are the same.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Literal

from reapair.agent.proof.tricks import dotted
from reapair.tools.python_source import parse_python

Role = Literal["altered", "reached", "nudged"]
Function = ast.FunctionDef | ast.AsyncFunctionDef

NUDGES = 7
"""How many neighbours an input is tried with."""

_MOST_ASSERTIONS = 8
_MOST_INPUTS = 6
_ASSERTING = re.compile(r"(assert|check|expect|verify|ensure|should)\w*|\w+_(equal|close)", re.I)
_RAISING = re.compile(r"(.*\.)?(raises|assertRaises(Regex)?)")
_OPPOSITE = {
    **{"assertTrue": "assertFalse", "assertIn": "assertNotIn", "assertIs": "assertIsNot"},
    **{"assertIsNone": "assertIsNotNone", "assertIsInstance": "assertNotIsInstance"},
    **{"assertGreater": "assertLessEqual", "assertLess": "assertGreaterEqual"},
    "assertRegex": "assertNotRegex",
}
_OPPOSITE |= {value: key for key, value in _OPPOSITE.items()} | {"assertNotEqual": "assertEqual"}
_PLAIN = frozenset(
    {"len", "sorted", "str", "repr", "list", "tuple", "set", "dict", "int", "float", "bool", "sum"}
    | {"min", "max", "abs", "any", "all", "next", "iter", "type", "isinstance", "open", "print"}
    | {"range", "zip", "approx", "param"}
)


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy: of which test (`Class::name`), its own name, and what was done to it.

    `number` is the place of the assertion that was altered, or of the input that was nudged.
    """

    test: str
    name: str
    role: Role
    number: int


def with_copies(source: str, tests: set[str]) -> tuple[str, list[Copy]]:
    """Return the file with copies of the tests (`Class::name`), and what they are.

    Nudged copies stand before their test and altered ones behind it: lines that only the test's own
    input reaches are then first run by the test itself. Raises SyntaxError.
    """
    tree = parse_python(source)
    made: list[Copy] = []
    tree.body = _extended(tree.body, "", tests, made)
    helpers = (resources.files("reapair.agent.proof") / "test_helpers.py").read_text("utf-8")
    head = next((n for n, node in enumerate(tree.body) if not _stays_first(node)), len(tree.body))
    tree.body[head:head] = parse_python(helpers).body[1:]
    return ast.unparse(ast.fix_missing_locations(tree)), made


def _stays_first(node: ast.stmt) -> bool:
    future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
    return future or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _extended(
    body: list[ast.stmt], prefix: str, tests: set[str], made: list[Copy]
) -> list[ast.stmt]:
    extended: list[ast.stmt] = []
    for node in body:
        around: tuple[list[ast.stmt], list[ast.stmt]] = ([], [])
        if isinstance(node, ast.ClassDef):
            node.body = _extended(node.body, f"{prefix}{node.name}::", tests, made)
        elif isinstance(node, Function) and prefix + node.name in tests:
            for variant, each in _copies(node, prefix):
                made.append(each)
                around[each.role != "nudged"].append(variant)
            mark = ast.parse("_reapair_phase('exact')").body[0]
            node.body = [
                *node.body[: _has_docstring(node)],
                mark,
                *node.body[_has_docstring(node) :],
            ]
        extended += [*around[0], node, *around[1]]
    return extended


def _has_docstring(node: Function) -> int:
    return int(_stays_first(node.body[0]))


def _copies(node: Function, prefix: str) -> Iterator[tuple[ast.stmt, Copy]]:
    test = prefix + node.name

    def renamed(suffix: str) -> Function:
        variant = copy.deepcopy(node)
        variant.name = f"{node.name}__{suffix}"
        return variant

    for number in range(min(len(_assertions(node)), _MOST_ASSERTIONS)):
        for role in ("altered", "reached"):
            variant = renamed(f"{role[0]}{number}")
            change = _alter if role == "altered" else _reach
            if _replace(variant, number, change):
                yield variant, Copy(test, variant.name, role, number)
    if isinstance(node, ast.AsyncFunctionDef):
        return
    for number in range(min(len(_inputs(node)), _MOST_INPUTS)):
        for nudge in range(NUDGES):
            variant = renamed(f"n{number}_{nudge}")
            _nudge(variant, number, nudge)
            yield variant, Copy(test, variant.name, "nudged", number)


def _assertions(node: ast.AST) -> list[ast.stmt]:
    found = [n for n in ast.walk(node) if isinstance(n, ast.stmt) and _is_assertion(n)]
    return sorted(found, key=lambda n: (n.lineno, n.col_offset))


def asserts(source: str, test: str) -> bool:
    """Return whether a test (`Class::name`) has an assertion that is known as one."""
    body: list[ast.stmt] = parse_python(source).body
    for name in test.split("::"):
        known = (n for n in body if isinstance(n, Function | ast.ClassDef) and n.name == name)
        found = next(known, None)
        if found is None:
            return True  # It is inherited or made by other means: nothing can be said.
        body = found.body
    return any(_assertions(n) for n in body)


def names_of_tests(source: str) -> list[str]:
    """Return `Class::name` of the tests in a file, in their order."""
    found = []
    for node in parse_python(source).body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        found += [prefix + n.name for n in inner
                  if isinstance(n, Function) and n.name.startswith("test")]  # fmt: skip
    return found


def _is_assertion(node: ast.stmt) -> bool:
    if isinstance(node, ast.With | ast.AsyncWith):
        return any(_raising(item) for item in node.items)
    return isinstance(node, ast.Assert) or _called(node) is not None


def _raising(item: ast.withitem) -> bool:
    call = item.context_expr
    return isinstance(call, ast.Call) and bool(_RAISING.fullmatch(dotted(call.func)))


def _called(node: ast.stmt) -> ast.Call | None:
    """Return the call of an assertion that is one: `self.assertEqual(…)`, `assert_close(…)`."""
    call = node.value if isinstance(node, ast.Expr) else None
    if isinstance(call, ast.Call) and (call.args or call.keywords):
        name = dotted(call.func).rpartition(".")[2]
        if _ASSERTING.fullmatch(name) or _RAISING.fullmatch(name):
            return call
    return None


def _replace(
    function: Function, number: int, change: Callable[[ast.stmt], ast.stmt | None]
) -> bool:
    """Put something else in the place of one assertion; False when that can't be done."""
    wanted = _assertions(function)[number]
    new = change(wanted)
    for node in ast.walk(function):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if new is not None and isinstance(block, list) and wanted in block:
                block[block.index(wanted)] = new
                return True
    return False


def _reach(node: ast.stmt) -> ast.stmt:  # noqa: ARG001
    return ast.parse("raise AssertionError('reached')").body[0]


def _alter(node: ast.stmt) -> ast.stmt | None:
    """Return an assertion that has to fail where this one passes; None: none is known."""
    if isinstance(node, ast.With | ast.AsyncWith):
        raising = next(item.context_expr for item in node.items if _raising(item))
        return node if _other_exception(raising) else None
    if isinstance(node, ast.Assert):
        node.test = _altered_test(node.test)
        return node
    call = _called(node)
    return node if call is not None and _altered_call(call) else None


def _other_exception(call: ast.expr) -> bool:
    if not isinstance(call, ast.Call) or not call.args:
        return False
    call.args[0] = ast.Name("_ReapairOther", ast.Load())
    return True


def _altered_test(test: ast.expr) -> ast.expr:
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
        if _is_expected(test.left, test.comparators[0]):
            test.left = _wrapped("_reapair_altered", test.left)
        else:
            test.comparators[0] = _wrapped("_reapair_altered", test.comparators[0])
        return test
    if isinstance(test, ast.Call) and len(test.args) > 1 and any(map(_has_call, test.args)):
        plain = [arg for arg in test.args if not _has_call(arg)]
        if plain:
            test.args = [_wrapped("_reapair_altered", a) if a in plain else a for a in test.args]
            return test
    return ast.UnaryOp(ast.Not(), test)


def _altered_call(call: ast.Call) -> bool:
    name = dotted(call.func).rpartition(".")[2]
    if _RAISING.fullmatch(name):
        return _other_exception(call)
    if isinstance(call.func, ast.Attribute) and name in _OPPOSITE:
        call.func.attr = _OPPOSITE[name]
        return True
    if len(call.args) < 2:
        return False
    place = 0 if _is_expected(call.args[0], call.args[1]) else 1
    call.args[place] = _wrapped("_reapair_altered", call.args[place])
    return True


def _is_expected(first: ast.expr, second: ast.expr) -> bool:
    """Return whether of two compared values the first is the expectation."""
    return not _has_call(first) and (_has_call(second) or isinstance(first, ast.Constant))


def _has_call(node: ast.expr) -> bool:
    return any(isinstance(n, ast.Call) for n in ast.walk(node))


def _wrapped(name: str, node: ast.expr, *more: int) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), [node, *map(ast.Constant, more)], [])


def _inputs(function: Function) -> list[tuple[ast.Call, int | str]]:
    """Return the arguments of calls that are no assertions and no builtins, in their order."""
    own = {id(_called(node)) for node in _assertions(function)}
    own |= {id(item.context_expr) for node in _assertions(function)
            if isinstance(node, ast.With | ast.AsyncWith) for item in node.items}  # fmt: skip
    found: list[tuple[ast.Call, int | str]] = []
    for statement in function.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and id(node) not in own and _may_be_product(node):
                found += [(node, n) for n, arg in enumerate(node.args) if _may_be_input(arg)]
                found += [(node, k.arg) for k in node.keywords if k.arg and _may_be_input(k.value)]
    return found


def _may_be_product(call: ast.Call) -> bool:
    name = dotted(call.func).rpartition(".")[2]
    return bool(name) and name not in _PLAIN


def _may_be_input(node: ast.expr) -> bool:
    return not isinstance(node, ast.Starred | ast.Lambda | ast.Call)


def _nudge(function: Function, number: int, nudge: int) -> None:
    """Make a copy report what comes out for a neighbour of one input."""
    call, place = _inputs(function)[number]
    if isinstance(place, int):
        call.args[place] = _wrapped("_reapair_nudged", call.args[place], nudge)
    else:
        word = next(k for k in call.keywords if k.arg == place)
        word.value = _wrapped("_reapair_nudged", word.value, nudge)
    assertions = _assertions(function)
    inside = [any(node is call for node in ast.walk(each)) for each in assertions]
    for found in reversed(range(len(assertions))):
        # An assertion beside the nudged one would only tell of the test's own input.
        _replace(function, found, _noted if inside[found] or not any(inside) else _left_out)
    guard = ast.parse("with _reapair_outcome():\n    pass").body[0]
    assert isinstance(guard, ast.With)  # noqa: S101
    first = _has_docstring(function)
    guard.body = function.body[first:] or guard.body
    function.body = [*function.body[:first], guard]


def _left_out(node: ast.stmt) -> ast.stmt:  # noqa: ARG001
    return ast.Pass()


def _noted(node: ast.stmt) -> ast.stmt:
    """Return what notes the value that an assertion looks at, in its place."""
    if isinstance(node, ast.With | ast.AsyncWith):
        node.items = [ast.withitem(ast.parse("_reapair_raised()", mode="eval").body)]
        return node
    if isinstance(node, ast.Assert):
        seen = node.test
        if isinstance(seen, ast.Compare) and len(seen.ops) == 1:
            seen = (
                seen.comparators[0] if _is_expected(seen.left, seen.comparators[0]) else seen.left
            )
        return ast.Expr(_wrapped("_reapair_note", seen))
    call = _called(node)
    if call is None or not call.args:
        return node
    if _RAISING.fullmatch(dotted(call.func).rpartition(".")[2]):
        call.func = ast.Name("_reapair_call", ast.Load())
        return node
    seen = call.args[0]
    if len(call.args) > 1 and _is_expected(call.args[0], call.args[1]):
        seen = call.args[1]
    return ast.Expr(_wrapped("_reapair_note", seen))
