"""The issue's own example as a test: harvested by rule, so no model and no patch had a hand in it.

Taken are sessions (`>>>`), `assert` lines and calls with a stated result in code, sentences that
say what a call returns or raises instead of what, and the last call of a traceback. Nothing is
judged here: whether an example shows the bug, the untouched code has to tell.
"""

from __future__ import annotations

import ast
import builtins
import doctest
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from reapair.sandbox import Sandbox
from reapair.tools.python_source import parse_python

FILE = "test_issue_example.py"
"""Name of the test file; it belongs beside the repository's other tests, or at its top."""

_MOST = 8
_MOST_CALLS = 40
_ISSUE_LIMIT = 64 * 1024
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n]*\n(.*?)^[ \t]*\1", re.MULTILINE | re.DOTALL)
_SESSION = re.compile(r"^[ \t]*>>>.*(?:\n(?![ \t]*$|[ \t]*(?:```|~~~)).*)*", re.MULTILINE)
_RAISES = re.compile(r"\b(?:should|must|expected to|has to|to)\s+(?:raise|throw)s?\s+(?:an?\s+)?`?")
_EXPECTED = re.compile(
    r"\b(?:instead of|rather than|(?:should|must|ought to|has to)\s+(?:be|return|give|print|yield"
    r"|produce|equal|result in)|(?:I |we )?expect(?:ed|s|ing)?(?:\s+(?:is|was|it|to be|to get|to"
    r"|return|returns|result|output|value|behaviou?r|of [\w.]+\([^\n]*?\)))*)[\s:*`]*(?:python\s)?",
    re.IGNORECASE,
)
_ARROW = re.compile(r"^\s*(?:#\s*)?(?:=>|->|→|==>|returns|gives|is|==)\s*")
_FOLLOWS = re.compile(
    r"(?:\s|```)*(?:(?:it|this|that|i|we|but|and|actual)\b[^.\n]{0,40}?\s)?\W{0,3}(?:expect|should|must)",
    re.IGNORECASE,
)
_NEXT_CALL = re.compile(r"(?<![\w.])[A-Za-z_][\w.]*\(")
_EXCEPTION = re.compile(r"[A-Z]\w*(?:Error|Exception|Warning|Interrupt|Exit|Iteration)\b")
_QUIET = frozenset(dir(builtins))


@dataclass(frozen=True, slots=True)
class Example:
    """One statement of an issue that can be checked.

    Attributes:
        setup: source that has to run before it.
        call: the expression it is about; "" when `setup` ends with the check itself.
        expected: source of the value that the call has to have; "" when it has to raise.
        raises: name of the exception that has to come; "" when a value has to.
        message: words that the exception has to hold.
        forbidden: name of the exception that a traceback shows, which must not come any more.
        stated: the author says what is right; what a session printed may be the bug itself.
    """

    setup: str = ""
    call: str = ""
    expected: str = ""
    raises: str = ""
    message: str = ""
    forbidden: str = ""
    stated: bool = True

    @property
    def weak(self) -> bool:
        """True when it only says what must not happen, so that swallowing an error satisfies it."""
        return bool(self.forbidden)


def examples(issue: str) -> list[Example]:
    """Return what an issue states of its code, the strongest first; [] when it states nothing."""
    issue = issue[:_ISSUE_LIMIT].replace("\r\n", "\n")
    found = [*_from_sessions(issue), *_from_code(issue), *_from_sentences(issue),
             *_from_tracebacks(issue)]  # fmt: skip
    return sorted(dict.fromkeys(found), key=lambda each: each.weak)[:_MOST]


def as_test(found: list[Example], place: Callable[[str], str]) -> str:
    """Return a test file that unittest and pytest both take; "" when no example can be run.

    Args:
        found: the examples; one whose names are neither imported nor known is left out.
        place: returns the module that defines a name, "" when there is none.
    """
    imports: dict[str, None] = {}
    bodies: list[tuple[str, str]] = []
    for example in found:
        body = _body(example)
        needed = _imports(body, place)
        if body and needed is not None:
            imports.update(dict.fromkeys(needed))
            how = "_weak" if example.weak else "_stated" if example.stated else ""
            bodies.append((how, body))
    if not bodies:
        return ""
    methods = "\n".join(
        f"    def test_example_{number}{how}(self):\n{_indented(body)}"
        for number, (how, body) in enumerate(bodies, 1)
    )
    head = "".join(f"{line}\n" for line in ("import unittest", *imports))
    return f"{head}\n\nclass IssueExample(unittest.TestCase):\n{methods}"


def issue_test(issue: str, sandbox: Sandbox) -> str:
    """Return the test file for an issue about the Python code in a sandbox; "" for none."""
    return as_test(examples(issue), lambda name: defining_module(name, sandbox))


def defining_module(name: str, sandbox: Sandbox) -> str:
    """Return the module that defines a name at its top, or is called so; "" for none.

    What Git tracks is searched: tests and what stands deepest come last.
    """
    git = "git -c core.quotepath=off"
    listed = sandbox.exec(
        f"{git} grep -lE '^(async def|def|class) {name}\\b|^{name} *=' -- '*.py'; echo; "
        f"{git} ls-files -- '*.py'",
        output_limit=4 * 1024 * 1024,
    ).text
    defining, _, every = listed.partition("\n\n") if not listed.startswith("\n") else (
        "", "", listed)  # fmt: skip
    files = set(every.split())
    named = [f for f in files if re.search(rf"(^|/){name}(/__init__)?\.py$", f)]
    for path in sorted({*named}, key=_nearness)[:1] or sorted(defining.split(), key=_nearness):
        return module_of(path, files)
    return ""


def module_of(path: str, files: set[str]) -> str:
    """Return the dotted name of a file for imports: a package ends where no `__init__` is."""
    *folders, name = path.removesuffix(".py").removesuffix("/__init__").split("/")
    parts = [name]
    while folders and "/".join([*folders, "__init__.py"]) in files:
        parts.insert(0, folders.pop())
    return ".".join(parts)


def _nearness(path: str) -> tuple[bool, int, str]:
    return (re.search(r"(^|/)(tests?|docs?|examples?)(/|_)|(^|/)test_", path) is not None,
            path.count("/"), path)  # fmt: skip


def _from_sessions(issue: str) -> Iterator[Example]:
    for block in _SESSION.finditer(issue):
        setup: list[str] = []
        try:
            steps = doctest.DocTestParser().get_examples(_dedented(block[0]))
        except ValueError:
            continue
        after = issue[block.end() :][:300]
        for number, step in enumerate(steps, 1):
            call, before = step.source.strip(), "".join(setup)
            said = f"{call.partition('#')[2]} {step.want.partition('#')[2]}"
            stated = _stated(said) or (
                _stated(after) if number == len(steps) and _FOLLOWS.match(after) else None
            )  # What the author says of it outranks what was printed.
            if stated and _is_call(call):
                yield Example(before, call, **stated)
            elif step.exc_msg and (kind := _EXCEPTION.match(step.exc_msg.split(".")[-1])):
                yield Example(before, call, forbidden=kind[0], stated=False)
            elif not step.exc_msg and _is_call(call) and _value(step.want.strip()):
                yield Example(before, call, expected=_value(step.want.strip()), stated=False)
            setup.append(step.source)


def _from_code(issue: str) -> Iterator[Example]:
    """Take `assert` lines, and calls whose comment states a result, from blocks of code."""
    for block in _FENCE.finditer(issue):
        text = _dedented(block[2])
        if ">>>" in text or "Traceback (most recent" in text:
            continue
        try:
            tree = parse_python(text)
        except SyntaxError:
            continue
        lines, setup = text.split("\n"), list[str]()
        after = issue[block.end() : block.end() + 400]
        for number, node in enumerate(tree.body):
            source, before = ast.unparse(node), "\n".join(setup)
            comment = lines[(node.end_lineno or node.lineno) - 1].partition("#")[2]
            call = _printed(node)
            last = number == len(tree.body) - 1
            if isinstance(node, ast.Assert):
                yield Example(f"{before}\n{source}".strip())
                continue
            stated = (comment and (_stated(comment) or _arrowed(comment))) or (
                _stated(after) if last and not comment and _FOLLOWS.match(after) else None
            )  # fmt: skip
            if call and stated:
                yield Example(before, call, **stated)
            elif not _printed(node, strict=True):
                setup.append(source)


def _printed(node: ast.stmt, *, strict: bool = False) -> str:
    """Return the call that a statement shows: alone, or in `print`; "" for any other."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return ""
    call = node.value
    if isinstance(call.func, ast.Name) and call.func.id == "print":
        return ast.unparse(call.args[0]) if len(call.args) == 1 and not call.keywords else ""
    return "" if strict else ast.unparse(call)


def _from_sentences(issue: str) -> Iterator[Example]:
    """Take sentences: a call, then what it should return or raise."""
    text = _FENCE.sub("\n\n", issue)
    for start in islice(_NEXT_CALL.finditer(text), _MOST_CALLS):
        call = _longest(text[start.start() : start.start() + 300], call=True)
        if call and (stated := _stated(_sentence(text[start.start() + len(call) :]))):
            yield Example(call=call, **stated)


def _sentence(rest: str) -> str:
    """Return the rest of a sentence, with the next one where that goes on about the same call."""
    paragraph = re.split(r"\n\s*\n", rest, maxsplit=1)[0][:300]
    end = next((m for m in re.finditer(r"(?<=[\w)\]'\"`}])[.;]\s", paragraph)), None)
    if end is None or _FOLLOWS.match(paragraph, end.end()):
        return paragraph
    return paragraph[: end.start()]


def _from_tracebacks(issue: str) -> Iterator[Example]:
    """Take the outermost line of code that a traceback shows, where it stands by itself."""
    for block in re.finditer(r"Traceback \(most recent call last\):\n((?:.*\n)*?)(\w[\w.]*)(:|$)",
                             issue, re.MULTILINE):  # fmt: skip
        kind = _EXCEPTION.fullmatch(block[2].rpartition(".")[2])
        for line in re.findall(r"in <module>[^\n]*\n\s+([^\n]+)", block[1]):
            if kind and _is_call(call := line.strip()):
                yield Example(call=call, forbidden=kind[0], stated=False)


def _stated(text: str) -> dict[str, Any] | None:
    """Return what a sentence says that should come: an exception, or a value."""
    if (raised := _RAISES.search(text)) and (kind := _EXCEPTION.match(text, raised.end())):
        words = _longest(text[kind.start() : kind.start() + 200], call=True)
        return {"raises": kind[0], "message": _only_text(words)}
    for found in _EXPECTED.finditer(text):
        rest = text[found.end() : found.end() + 300]
        if (kind := _EXCEPTION.match(rest)) is not None:
            return {"raises": kind[0]}
        if value := _longest(rest):
            return {"expected": value}
    return None


def _arrowed(comment: str) -> dict[str, Any] | None:
    found = _ARROW.match(comment)
    value = _longest(comment[found.end() :]) if found else ""
    return {"expected": value} if value else None


def _longest(text: str, *, call: bool = False) -> str:
    """Return the longest beginning of a text that is a literal, or a call; "" for none."""
    text = text.partition("\n\n")[0]
    last = r"\)" if call else r"[\w)\]}'\"]"
    ends = [found.end() for found in islice(re.finditer(last, text), _MOST_CALLS)]
    for end in reversed(ends):
        piece = text[:end]
        if (_is_call(piece) if call else _value(piece)) and _balanced_end(piece, text):
            return piece.strip()
    return ""


def _balanced_end(piece: str, text: str) -> bool:
    """Return whether a piece ends where a word does."""
    return not (piece[-1:].isalnum() and text[len(piece) :][:1].isalnum())


def _value(text: str) -> str:
    """Return a text when it is the literal of a value, else ""."""
    try:
        ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ""
    return text.strip()


def _is_call(text: str) -> bool:
    try:
        body = parse_python(text.strip()).body
    except SyntaxError:
        return False
    return len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Call)


def _only_text(call: str) -> str:
    """Return the text that an exception is made with, where that is all it is made with."""
    if not call:
        return ""
    [statement] = parse_python(call).body
    args = statement.value.args if isinstance(statement, ast.Expr) and isinstance(
        statement.value, ast.Call) else []  # fmt: skip
    first = args[0].value if len(args) == 1 and isinstance(args[0], ast.Constant) else ""
    return first if isinstance(first, str) else ""


def _body(example: Example) -> str:
    call = example.call.strip()
    if example.raises:
        words = f", {re.escape(example.message)!r}" if example.message else ""
        way = "assertRaisesRegex" if words else "assertRaises"
        check = f"with self.{way}({example.raises}{words}):\n    {call}"
    elif example.forbidden:
        check = (
            f"try:\n    {call}\nexcept Exception as error:\n"
            f"    self.assertNotEqual(type(error).__name__, {example.forbidden!r})"
        )
    else:
        check = _equal(call, example.expected) if call else ""
    text = f"{example.setup.rstrip()}\n{check}\n".strip("\n") + "\n"
    try:
        parse_python(text)
    except SyntaxError:
        return ""
    return text


def _equal(call: str, expected: str) -> str:
    """Return the check of a value; a fraction is as exact as the issue wrote it."""
    if re.fullmatch(r"-?\d+\.\d+", expected):
        places = len(expected.partition(".")[2])
        return f"self.assertAlmostEqual({call}, {expected}, {places})"
    return f"self.assertEqual({call}, {expected})"


def _imports(body: str, place: Callable[[str], str]) -> list[str] | None:
    """Return the imports that a test needs; None when a name of it is not known anywhere."""
    nodes = list(ast.walk(parse_python(body)))
    bound = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    bound |= {n.arg for n in nodes if isinstance(n, ast.arg)} | {"self", "error"}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(a.asname or a.name).partition(".")[0] for a in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
    needed = []
    for node in nodes:
        if isinstance(node, ast.Name) and node.id not in bound and node.id not in _QUIET:
            module = place(node.id)
            if not module:
                return None
            own = module.rpartition(".")[2] == node.id
            parent = module.rpartition(".")[0]
            needed.append(
                (f"from {parent} import {node.id}" if parent else f"import {node.id}")
                if own else f"from {module} import {node.id}"
            )  # fmt: skip
            bound.add(node.id)
    return needed


def _dedented(text: str) -> str:
    margin = min((len(line) - len(line.lstrip()) for line in text.split("\n") if line.strip()),
                 default=0)  # fmt: skip
    return "\n".join(line[margin:] for line in text.split("\n"))


def _indented(body: str) -> str:
    return "".join(f"        {line}\n" if line else "\n" for line in body.rstrip().split("\n"))
