"""Tricks in product code: what a patch adds that makes tests say something else than the truth.

Only added lines count, so what a project has always done is no trick. Python is read as a syntax
tree, everything else as text. A trick never refutes a patch; it keeps it from counting as proved.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from reapair.agent.proof.changes import Change
from reapair.tools.python_source import dump, parse_python

_GUARDED = frozenset({"builtins", "__builtins__", "unittest", "pytest", "_pytest", "doctest"})
_CLOCK = frozenset({"time", "datetime", "socket", "random"})
_EXITS = frozenset({"sys.exit", "exit", "quit", "os.abort"})
_NOW = re.compile(r"(time\.time(_ns)?|(datetime\.)*(date)?\.?(now|utcnow|today))")
_STACK = frozenset({"inspect.stack", "inspect.currentframe", "sys._getframe", "inspect.trace"})
_WATCHES = frozenset({"pytest", "_pytest", "unittest", "reapair_recorder", "nose", "conftest"})
_REPORTS = re.compile(r"junit-?xml|junit\.xml|reapair_recorder|REAPAIR_|\.pytest_cache|lastfailed")
_FETCHES = re.compile(r"(urllib\.request\.|requests\.(get|post)|httpx\.(get|post)|urlopen)")
_NO_LIBRARY = re.compile(r"(^|/)(__main__|setup|conftest|noxfile|.*pytest.*|.*testing.*)\.py$")


def product_tricks(change: Change) -> list[str]:
    """Return a sentence for each trick that a patch adds to one file of product code."""
    if not change.python:
        return _text_tricks(change)
    try:
        tree = parse_python(change.after)
    except SyntaxError:
        return []
    write_out_names(tree)
    found: dict[str, None] = {}
    at_import = set(_at_import(tree.body))
    fresh = _fresh_lines(change)
    for node in ast.walk(tree):
        if getattr(node, "lineno", 0) not in fresh:
            continue
        for detector in _DETECTORS:
            if said := _said(detector, node, change):
                found[f"{change.path}:{getattr(node, 'lineno', 0)} {said}."] = None
        if node in at_import and (said := _ends_process(node, change)):
            found[f"{change.path}:{getattr(node, 'lineno', 0)} {said}."] = None
    return list(found)


def _said(detector: Callable[[ast.AST, Change], str], node: ast.AST, change: Change) -> str:
    try:
        return detector(node, change)
    except RecursionError:  # An expression of a thousand terms is no trick.
        return ""


def module_patches(change: Change) -> Iterator[tuple[int, str]]:
    """Yield where test code at the top of a module replaces a part of one that it imports."""
    try:
        tree = parse_python(change.after)
    except SyntaxError:
        return
    write_out_names(tree)
    imports = (n for n in ast.walk(tree) if isinstance(n, ast.Import))
    modules = {alias.name.partition(".")[0] for node in imports for alias in node.names}
    fresh = _fresh_lines(change)
    for node in _at_import(tree.body):
        line = getattr(node, "lineno", 0)
        targets = node.targets if isinstance(node, ast.Assign) and line in fresh else []
        for name in map(dotted, targets):
            if "." in name and name.partition(".")[0] in modules:
                yield line, f"replaces {name} for all tests"


def _fresh_lines(change: Change) -> set[int]:
    """Return the numbers of added lines that stood nowhere in the file: moved ones are not new."""
    before = {line.strip() for line in change.before.split("\n")}
    lines = change.after.split("\n")
    return {n for n in change.added if n <= len(lines) and lines[n - 1].strip() not in before}


def dotted(node: ast.AST) -> str:
    """Return `a.b.c` for a chain of names, "" for anything else."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def write_out_names(tree: ast.Module) -> None:
    """Put the full name of what was imported wherever a short one stands for it."""
    full: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            full |= {a.asname: a.name for a in node.names if a.asname}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            full |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = full.get(node.id, node.id)


def _at_import(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield the nodes that run when the module is imported."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(statement, ast.If) and "__main__" in dump(statement.test):
            continue
        for field in ("body", "orelse", "finalbody"):
            yield from _at_import(getattr(statement, field, []))
        for handler in getattr(statement, "handlers", []):
            yield from _at_import(handler.body)
        if not hasattr(statement, "body"):
            yield from ast.walk(statement)


def _ends_process(node: ast.AST, change: Change) -> str:
    if _NO_LIBRARY.search(change.path):
        return ""
    if isinstance(node, ast.Call) and dotted(node.func) in _EXITS:
        return f"calls {dotted(node.func)} when it is imported, which ends the test run"
    if isinstance(node, ast.Raise) and "SystemExit" in dump(node):
        return "raises SystemExit when it is imported, which ends the test run"
    return ""


def _exits_at_once(node: ast.AST, change: Change) -> str:
    if isinstance(node, ast.Call) and dotted(node.func) == "os._exit" and (
        "os.fork" not in change.after and "import multiprocessing" not in change.after
    ):  # fmt: skip
        return "calls os._exit, which ends the test run without a word"
    return ""


def _patches(node: ast.AST, change: Change) -> str:
    """Find assignments to what tests are made of, and to clock, chance and network."""
    targets: list[ast.AST] = []
    if isinstance(node, ast.Assign):
        targets = list(node.targets)
    elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.Delete):
        targets = [node.target] if not isinstance(node, ast.Delete) else list(node.targets)
    elif isinstance(node, ast.Call) and dotted(node.func) in ("setattr", "delattr") and node.args:
        targets = [ast.Attribute(_imported(node.args[0]), "…", ast.Load())]
    for target in targets:
        if isinstance(target, ast.Name):
            continue  # A name of the file's own, not what it stood for before.
        place = target.value if isinstance(target, ast.Subscript) else target
        name = dotted(place)
        root = name.partition(".")[0]
        # `builtins._` is how gettext is installed.
        if root in _GUARDED and ("." in name or place is not target) and name != "builtins._":
            return f"replaces {name}, which tests rely on"
        if root in _CLOCK and name.count(".") >= 1 and _imports(change.after, root):
            return f"replaces {name}: tests then see another clock, chance or network"
    return ""


def _imported(node: ast.expr) -> ast.expr:
    """Read `__import__("name")` like the name."""
    if isinstance(node, ast.Call) and "import" in dotted(node.func) and node.args:
        first = node.args[0]
        return ast.Name(str(first.value)) if isinstance(first, ast.Constant) else node
    return node


def _imports(text: str, module: str) -> bool:
    return re.search(rf"^\s*(import|from)\b.*\b{module}\b", text, re.MULTILINE) is not None


def _imports_pytest(node: ast.AST, change: Change) -> str:
    """Find product code that reaches for the test runner, in a project that never did."""
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [node.module or ""] if not node.level else []
    elif isinstance(node, ast.Call) and dotted(node.func) in (
        "__import__", "import_module", "importlib.import_module", "find_spec",
    ):  # fmt: skip
        names = [str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant)]
    for name in names:
        root = name.partition(".")[0]
        known = re.search(rf"\b{root}\b", change.before)
        if root in ("pytest", "_pytest") and not known and not _NO_LIBRARY.search(change.path):
            return f"imports {root} into product code"
    return ""


def _looks_for_tests(node: ast.AST, change: Change) -> str:  # noqa: ARG001
    """Find code that behaves in another way while it is tested."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if "PYTEST_" in node.value and len(node.value) < 60 and " " not in node.value:
            return f"looks at {node.value} to see whether it is under test"
        return ""
    places: list[ast.AST] = []
    if isinstance(node, ast.Compare):
        places = [node.left, *node.comparators]
    elif isinstance(node, ast.Call):
        places = [node.func, *node.args]
    elif isinstance(node, ast.Subscript):
        places = [node.value, node.slice]
    words = {p.value for p in places if isinstance(p, ast.Constant) and isinstance(p.value, str)}
    where = " ".join(map(ast.unparse, places))
    if "sys.modules" in where and any(word.partition(".")[0] in _WATCHES for word in words):
        return "looks into sys.modules to see whether it is under test"
    if "sys.argv" in where and any("test" in word for word in words):
        return "looks at sys.argv to see whether it is under test"
    return ""


def _reads_the_stack(node: ast.AST, change: Change) -> str:  # noqa: ARG001
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.If | ast.IfExp):
        return ""
    inside = list(ast.walk(node))
    looks = any(isinstance(n, ast.Call) and dotted(n.func) in _STACK for n in inside)
    words = (n.value for n in inside if isinstance(n, ast.Constant) and isinstance(n.value, str))
    short = [word for word in words if len(word) < 30 and " " not in word]
    if looks and any(re.search(r"(^|[^a-z])(py)?tests?([^a-z]|$)", word) for word in short):
        return "looks at its callers to see whether it is under test"
    return ""


def _asks_the_date(node: ast.AST, change: Change) -> str:  # noqa: ARG001
    if not isinstance(node, ast.Compare):
        return ""
    sides = [node.left, *node.comparators]
    asks = any(
        isinstance(s, ast.Call) and _NOW.fullmatch(dotted(s.func)) for s in map(_innermost, sides)
    )
    fixed = any(
        (isinstance(s, ast.Constant) and isinstance(s.value, int | float) and s.value > 10**8)
        or (isinstance(s, ast.Call) and len(s.args) >= 3 and all(
            isinstance(a, ast.Constant) for a in s.args))
        for s in sides
    )  # fmt: skip
    return "does one thing before a fixed date and another after it" if asks and fixed else ""


def _innermost(node: ast.AST) -> ast.AST:
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(
        node.func.value, ast.Call
    ):  # fmt: skip
        node = node.func.value
    return node


def _reports(node: ast.AST, change: Change) -> str:  # noqa: ARG001
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 200:
        if _REPORTS.search(node.value):
            return f"names {_REPORTS.findall(node.value)[0] or node.value!r}, a test report"
    elif isinstance(node, ast.Name | ast.Attribute) and "reapair_recorder" in dotted(node):
        return "reaches for the test report"
    return ""


def _fetches(node: ast.AST, change: Change) -> str:
    """Find answers fetched from a fixed address by code that had no network before."""
    if isinstance(node, ast.Call) and _FETCHES.search(dotted(node.func)) and node.args:
        first = node.args[0]
        fixed = isinstance(first, ast.Constant) and "://" in str(first.value)
        if fixed and not _FETCHES.search(change.before) and change.before:
            return "asks an address on the network"
    return ""


def _always_equal(node: ast.AST, change: Change) -> str:  # noqa: ARG001
    if isinstance(node, ast.FunctionDef) and node.name == "__eq__":
        body = [s for s in node.body if not isinstance(s, ast.Expr)]
        if len(body) == 1 and isinstance(body[0], ast.Return) and (
            isinstance(body[0].value, ast.Constant) and body[0].value.value is True
        ):  # fmt: skip
            return "makes objects that are equal to everything"
    return ""


def _skips(node: ast.AST, change: Change) -> str:
    if _NO_LIBRARY.search(change.path):
        return ""
    called = node.func if isinstance(node, ast.Call) else node
    if isinstance(called, ast.Name | ast.Attribute):
        name = dotted(called)
        if name in ("pytest.skip", "pytest.xfail", "unittest.SkipTest", "pytest.exit"):
            return f"uses {name}, so that tests are left out"
    return ""


_DETECTORS: tuple[Callable[[ast.AST, Change], str], ...] = (
    *(_exits_at_once, _patches, _imports_pytest, _looks_for_tests, _reads_the_stack),
    *(_asks_the_date, _reports, _fetches, _always_equal, _skips),
)

_TEXT_TRICKS = (
    (re.compile(r"process\.exit\(0\)"), r"\.[cm]?[jt]sx?$", "ends the process as a success"),
    (
        re.compile(r"JEST_WORKER_ID|VITEST_(WORKER|POOL)|NODE_ENV\W{1,6}test\b"),
        r"\.[cm]?[jt]sx?$",
        "looks whether it is under test",
    ),
    (re.compile(r"testing\.Testing\(\)|flag\.Lookup\(.test\."), r"\.go$", "looks whether it is "
     "under test"),
    (re.compile(r"os\.Exit\(0\)"), r"(?<!main)\.go$", "ends the process as a success"),
    (re.compile(r"cfg!\(test|cfg\(not\(test\)\)"), r"\.rs$", "does something else under test"),
    (re.compile(r"#\[ignore"), r"\.rs$", "leaves a test out"),
    (_REPORTS, r"\.\w+$", "names a test report"),
)  # fmt: skip


def _text_tricks(change: Change) -> list[str]:
    added = change.added_text
    if change.path.endswith((".md", ".rst", ".txt", ".lock")):
        return []
    found = [
        f"{change.path} {said}."
        for pattern, name, said in _TEXT_TRICKS
        if re.search(name, change.path) and pattern.search(added)
    ]
    inline = [
        line for line in change.removed if re.search(r"#\[(tokio::)?test\]|assert\w*!\(", line)
    ]
    if inline and change.path.endswith(".rs") and "#[cfg(test)]" in change.before:
        found.append(f"{change.path} loses lines of the tests inside it.")
    return found
