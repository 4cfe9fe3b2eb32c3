"""What a patch does to tests that were there, and to the files and settings they run with."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator

from reapair.agent.proof.changes import Change
from reapair.agent.proof.support import is_settings, settings_in
from reapair.agent.proof.tricks import dotted, module_patches
from reapair.tools.python_source import dump, parse_python

_HOOKS = re.compile(r"pytest_\w+|collect_ignore(_glob)?")
_LEAVES_OUT = re.compile(
    r"(pytest\.)?(mark\.)?(skip|skipif|xfail|importorskip)|unittest\.(skip\w*|expectedFailure)"
    r"|(self\.)?skipTest|skip(If|Unless)|expectedFailure|(unittest\.)?SkipTest|pytest\.exit"
)
_TEXT_LEAVES_OUT = re.compile(
    r"\b(it|test|describe|context|suite)\.(skip|todo|only|fails)\b|\bx(it|describe|test)\(|"
    r"\bt\.Skip(f|Now)?\(|@(Ignore|Disabled)\b|#\[ignore|\[(Ignore|Fact\(Skip)|markTestSkipped"
)


def tampering(change: Change) -> list[str]:
    """Return a sentence for each thing a patch does to tests and their support, in one file."""
    path, name = change.path, change.path.rpartition("/")[2]
    found: list[str] = []
    if name == "conftest.py":
        hooks = sorted(set(_added_hooks(change)))
        if hooks:
            found.append(f"{path} takes a hand in what tests say: {', '.join(hooks)}.")
        elif _code(change.before) != _code(change.after):
            found.append(f"{path} is changed.")
    elif is_settings(path):
        kind = "runs with every Python process" if "customize" in name or name.endswith(
            ".pth") else "settles how tests are run"  # fmt: skip
        found.append(f"{path}, which {kind}, is {'added' if change.is_new else 'changed'}.")
    elif settings_in(name, change.before) != settings_in(name, change.after):
        found.append(f"{path}: the settings of the tests are changed.")
    elif not change.is_new:
        found += _changed_tests(change)
        found += [f"{path} {said}." for said in _left_out(change)]
    if not is_settings(path):
        found += [f"{path}:{line} {said}." for line, said in module_patches(change)]
        found += [f"{path} gives {name}, which it imports, another meaning."
                  for name in _shadowed(change)]  # fmt: skip
    if "pytest_plugins" in change.added_text and name.endswith(".py"):
        found.append(f"{path} loads plugins into the test run.")
    return found


def _shadowed(change: Change) -> list[str]:
    """Return names that a file imported before, and that added code at its top defines anew."""
    try:
        before, after = parse_python(change.before), parse_python(change.after)
    except SyntaxError:
        return []
    imports = (n for n in ast.walk(before) if isinstance(n, ast.Import | ast.ImportFrom))
    imported = {alias.asname or alias.name for node in imports for alias in node.names}
    found = []
    for node in after.body:
        if node.lineno in change.added:
            targets = node.targets if isinstance(node, ast.Assign) else []
            names = [t.id for t in targets if isinstance(t, ast.Name)]
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.append(node.name)
            found += [name for name in names if name in imported]
    return found


def changed_test_names(change: Change) -> list[str] | None:
    """Return the names (`Class::test`) of tests that the patch changes or takes away.

    None stands for all of the file's: it is gone, or can't be read as Python.
    """
    if change.is_new:
        return []
    if change.new is None or change.old != change.new:
        return None
    if not change.python:
        return None if any(line.strip() for line in change.removed) else []
    try:
        before, after = _units(parse_python(change.before)), _units(parse_python(change.after))
        return sorted(
            name
            for name, nodes in before.items()
            if not all(any(_kept(node, now) for now in after.get(name, ())) for node in nodes)
        )
    except (SyntaxError, RecursionError):
        return None


def _changed_tests(change: Change) -> list[str]:
    names = changed_test_names(change)
    if names == []:
        return []
    if change.new is None:
        return [f"{change.old} is deleted."]
    if names is None:
        return [f"{change.path}: lines of existing tests are changed or taken away."]
    shown = ", ".join(name or "code around the tests" for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return [f"{change.path}: existing tests are changed or taken away: {shown}{more}."]


def _units(tree: ast.Module) -> dict[str, list[ast.AST]]:
    """Return what a test file consists of: each function by its name, the rest under ""."""
    found: dict[str, list[ast.AST]] = {"": []}
    for name, node in _parts(tree.body, ""):
        if name:
            # A later definition of the same name takes the place of an earlier one.
            found[name] = [node]
        else:
            found[""].append(node)
    return found


def _parts(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.AST]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            head = [*node.bases, *node.decorator_list, *(word.value for word in node.keywords)]
            yield f"{prefix}{node.name}", ast.Tuple(head, ast.Load())
            yield from _parts(node.body, f"{prefix}{node.name}::")
        elif not isinstance(node, ast.Import | ast.ImportFrom) and not _is_text(node):
            yield "", node


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _kept(before: ast.AST, after: ast.AST) -> bool:
    """Tell whether a part of a test file still is what it was; more cases of it may be tried."""
    if dump(before) == dump(after):
        return True
    if type(before) is not type(after):
        return False
    if isinstance(before, ast.List | ast.Tuple | ast.Set) and isinstance(after, type(before)):
        lost = Counter(map(dump, before.elts)) - Counter(map(dump, after.elts))
        return bool(before.elts) and not lost
    if isinstance(before, ast.Assign) and isinstance(after, ast.Assign):
        same = [dump(t) for t in before.targets] == [dump(t) for t in after.targets]
        return same and _kept(before.value, after.value)
    if isinstance(before, ast.Call) and isinstance(after, ast.Call):
        same = dotted(before.func) == dotted(after.func) and _keywords(before) == _keywords(after)
        return (
            same
            and dotted(before.func).endswith("parametrize")
            and len(before.args) == len(after.args)
            and all(map(_kept, before.args, after.args))
        )
    if isinstance(before, ast.FunctionDef) and isinstance(after, ast.FunctionDef):
        return (
            _undecorated(before) == _undecorated(after)
            and len(before.decorator_list) == len(after.decorator_list)
            and all(map(_kept, before.decorator_list, after.decorator_list))
        )
    return False


def _keywords(call: ast.Call) -> list[str]:
    return [dump(word) for word in call.keywords]


def _undecorated(function: ast.FunctionDef) -> list[str]:
    return [dump(function.args), *map(dump, function.body)]


def _code(text: str) -> str:
    """Return a source without its comments and layout, to see whether anything else changed."""
    try:
        return dump(parse_python(text))
    except (SyntaxError, RecursionError):
        return text


def _added_hooks(change: Change) -> Iterator[str]:
    try:
        tree = parse_python(change.after)
    except (SyntaxError, RecursionError):
        return
    for node in ast.walk(tree):
        inside = range(getattr(node, "lineno", 0), (getattr(node, "end_lineno", 0) or 0) + 1)
        if change.added.isdisjoint(inside):
            continue
        if isinstance(node, ast.FunctionDef) and _HOOKS.fullmatch(node.name):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (dotted(t) for t in node.targets if _HOOKS.fullmatch(dotted(t)))


def _left_out(change: Change) -> Iterator[str]:
    """Find marks and calls that leave out tests that were there before."""
    if not change.python:
        if _TEXT_LEAVES_OUT.search(change.added_text):
            yield "leaves tests out by a mark"
        return
    try:
        tree, old = parse_python(change.after), _units(parse_python(change.before))
    except (SyntaxError, RecursionError):
        return
    fresh = [node for name, node in _parts(tree.body, "") if name and name not in old]
    skipped = {inner for node in fresh for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if node in skipped or getattr(node, "lineno", 0) not in change.added:
            continue
        name = dotted(node)
        if (name and _LEAVES_OUT.fullmatch(name)) or name.endswith("__test__"):
            yield f"leaves tests out by {name}"
