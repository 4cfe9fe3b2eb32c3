"""Which tests a change concerns, by imports, and whether its lines are run by them."""

from __future__ import annotations

import ast
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

from reapair.agent.proof.changes import Change
from reapair.sandbox import ExecResult, Sandbox
from reapair.tools import is_test_file
from reapair.tools.python_source import dump, parse_python

_IMPORT = re.compile(r"^\s*(?:from\s+(\.*)([\w.]*)\s+import\s+(.*)|import\s+(.*))")
_LISTING = "git -c core.quotepath=off grep -nIE '^[[:space:]]*(from|import)[[:space:]]' -- '*.py'"
_FILES = "git -c core.quotepath=off ls-files -- '*.py'"
# The probe joins `targets` to `top`. Only a command inside knows the real path: with no isolation,
# what it prints names WORKSPACE instead.
_PROBE = (
    'd=$(mktemp -d "${TMPDIR:-/tmp}/probe.XXXXXX") && cat > "$d/sitecustomize.py" '
    '&& pwd -P > "$d/top" && printf %s "$d"'
)
_LIMIT = 16 * 1024 * 1024
_DOCUMENTS = (".md", ".rst", ".txt", ".adoc", ".png", ".svg", ".jpg", ".gif", ".cff")


class Probed(Sandbox):
    """A sandbox in which Python writes down the changed lines that it executes.

    Args:
        sandbox: started, with the change in it; it is neither started nor closed here.
        targets: line numbers by file.
    """

    def __init__(self, sandbox: Sandbox, targets: Mapping[str, Iterable[int]]) -> None:
        self.kind = sandbox.kind
        self._sandbox = sandbox
        source = (resources.files("reapair.agent.proof") / "line_probe.py").read_bytes()
        self._folder = sandbox.exec(_PROBE, stdin=source).text
        rows = [f"{','.join(map(str, sorted(t)))} {path}\n" for path, t in targets.items() if t]
        sandbox.write(f"{self._folder}/targets", "".join(rows).encode())

    def start(self) -> None:
        """Do nothing: the sandbox runs."""

    def close(self) -> None:
        """Do nothing: the sandbox belongs to somebody else."""

    def exec(
        self,
        command: str | Sequence[str],
        *,
        timeout: float = 60.0,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        output_limit: int = 64 * 1024,
    ) -> ExecResult:
        """Run a command under the probe."""
        watched = {"PYTHONPATH": self._folder, "REAPAIR_PROBE": self._folder}
        return self._sandbox.exec(
            command,
            timeout=timeout,
            stdin=stdin,
            env=watched | dict(env or {}),
            output_limit=output_limit,
        )

    def seen(self) -> dict[str, set[str]] | None:
        """Return the changed lines, as `number path`, that were run; None: not measured.

        They stand by phase: `exact` while a test runs its own input, `near` for one beside it, ""
        for all else; `open` has changed files that were opened, and by whose code.
        """
        result = self._sandbox.exec(f"cat {self._folder}/seen", output_limit=_LIMIT)
        lines = result.text.splitlines()
        if "started" not in lines or "broken" in lines:
            return None
        found: dict[str, set[str]] = {"": set(), "exact": set(), "near": set(), "open": set()}
        for line in lines:
            phase, bar, place = line.partition("|")
            if bar:
                found.setdefault(phase, set()).add(place)
        return found


def ran(seen: Mapping[str, set[str]]) -> bool:
    """Return whether changed lines were run."""
    return any(lines for phase, lines in seen.items() if phase != "open")


def is_code(change: Change) -> bool:
    """Tell whether a change is more than words: documents, comments and docstrings say nothing."""
    if not change.path.endswith((".py", ".pyi")):
        return not change.path.lower().endswith(_DOCUMENTS)
    return _spoken(change.before) != _spoken(change.after)


def _spoken(text: str) -> str:
    """Return a source's syntax tree without its docstrings; the text where there is none.

    Trees can be deeper than what may be walked: a sum of a thousand terms is ordinary code.
    """
    try:
        return _dumped(parse_python(text))
    except (SyntaxError, RecursionError):
        return text


def _dumped(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                body[0] = ast.Pass()
    return dump(tree)


def targets(change: Change) -> set[int]:
    """Return the line numbers whose execution shows that a Python change was reached.

    Lines inside functions where there are any: all others run on import.
    """
    try:
        tree = parse_python(change.after)
    except (SyntaxError, RecursionError):
        return set(change.added)
    inside: set[int] = set()
    outside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and not _is_docstring(node):
            heads = _head_lines(node)
            changed = not change.added.isdisjoint(heads)
            if changed:
                within = _function_around(tree, node)
                (inside if within else outside).update(heads)
    for line in change.cut:
        function = _innermost(tree, line)
        for node in ast.walk(function) if function else tree.body:
            if isinstance(node, ast.stmt) and node is not function:
                (inside if function else outside).update(_head_lines(node))
    return inside or outside


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _head_lines(node: ast.stmt) -> range:
    """Return the lines of a statement, of a compound one only its head."""
    body = getattr(node, "body", None)
    end = body[0].lineno if body else (node.end_lineno or node.lineno) + 1
    return range(node.lineno, max(end, node.lineno + 1))


def _functions(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def _innermost(tree: ast.Module, line: int) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    around = [f for f in _functions(tree) if f.body[0].lineno <= line <= (f.end_lineno or 0) + 1]
    return max(around, key=lambda f: f.lineno, default=None)


def _function_around(tree: ast.Module, node: ast.stmt) -> bool:
    return any(
        f is not node and f.body[0].lineno <= node.lineno <= (f.end_lineno or 0)
        for f in _functions(tree)
    )


def affected(sandbox: Sandbox, changes: Iterable[Change]) -> list[str]:
    """Return the Python test files that import what changes, the nearest first."""
    files = sandbox.exec(_FILES, output_limit=_LIMIT).text.splitlines()
    listing = sandbox.exec(_LISTING, output_limit=_LIMIT).text.splitlines()
    users = _users(files, listing)
    queue = deque(sorted({c.path for c in changes if c.path.endswith(".py")}))
    found = dict.fromkeys(queue)
    while queue:
        for user in sorted(users.get(queue.popleft(), ())):
            if user not in found:
                found[user] = None
                queue.append(user)
    return [path for path in found if is_test_file(path) and _holds_tests(path)]


def _holds_tests(path: str) -> bool:
    return re.fullmatch(r"(test.*|.*_tests?)\.py", path.rpartition("/")[2]) is not None


def _users(files: list[str], listing: list[str]) -> dict[str, set[str]]:
    """Return by file the files that import it; several files may answer to one name."""
    named: defaultdict[str, set[str]] = defaultdict(set)
    for file in files:
        parts = file.removesuffix(".py").removesuffix("/__init__").split("/")
        for start in range(len(parts)):
            named[".".join(parts[start:])].add(file)
    users: defaultdict[str, set[str]] = defaultdict(set)
    for row in listing:
        path, _, rest = row.partition(":")
        for module in _modules(path, rest.partition(":")[2]):
            for file in named.get(module, ()):
                users[file].add(path)
    # A package's own file stands for what it takes from its modules.
    return users


def _modules(path: str, line: str) -> list[str]:
    """Return every name that an import statement may mean."""
    match = _IMPORT.match(line)
    if not match:
        return []
    dots, base, names, plain = match.groups()
    if plain:
        whole = [word.split()[0] for word in plain.split(",") if word.split()]
    else:
        if dots:
            around = path.split("/")[: -len(dots)]
            base = ".".join([*around, base] if base else around)
        listed = [word.split()[0] for word in re.sub(r"[()#].*|\\", "", names).split(",")
                  if word.split()]  # fmt: skip
        whole = [base, *(f"{base}.{name}" for name in listed)]
    return [".".join(name.split(".")[: end + 1]) for name in whole for end in
            range(name.count(".") + 1)]  # fmt: skip
