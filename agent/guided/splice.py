"""Putting what a model wrote into a file: by the names of its definitions, never by line numbers.

Indentation is ours to mend, and no reason to refuse an answer.
"""

from __future__ import annotations

import ast
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from reapair.agent.guided.answers import Written
from reapair.tools.code.definitions import definitions
from reapair.tools.code.languages import language_of
from reapair.tools.edit_matching.matching import NoMatch, SeveralMatches, find
from reapair.tools.python_source import dump, is_python, parse_python

Function = ast.FunctionDef | ast.AsyncFunctionDef
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def spliced(text: str, path: str, name: str, written: Written) -> str | None:
    """Return a file with an answer in it; None where the answer has nothing for it.

    Args:
        text: the file, with bare line feeds.
        path: its name, which tells the language.
        name: dotted name of the function that was asked about.
        written: the answer.
    """
    for old, new in written.replacements:
        with suppress(NoMatch, SeveralMatches):
            change = find(text, old, new)
            text = text[: change.start] + change.new + text[change.end :]
            written = Written()
    if not written.blocks:
        return text
    put = _python if is_python(path) else _by_grammar
    for block in written.blocks:
        if (changed := put(text, path, name, block)) is not None:
            return changed
    return None


def normal_form(text: str, path: str) -> str:
    """Return what two files have in common that differ in layout and comments alone."""
    if is_python(path):
        with suppress(SyntaxError, RecursionError):
            return dump(parse_python(text))
    return re.sub(r"\s+", " ", text)


@dataclass(frozen=True, slots=True)
class _Part:
    """A definition in a source: its dotted name, and its lines from 0, the end excluded."""

    name: str
    node: Function | ast.ClassDef
    first: int
    header: int
    end: int


def _parts(tree: ast.AST, around: str = "") -> Iterator[_Part]:
    """Yield functions and classes with what classes hold; nothing inside functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, _DEFINITIONS):
            name = f"{around}{node.name}"
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
            yield _Part(name, node, first, node.lineno - 1, node.end_lineno or node.lineno)
            if isinstance(node, ast.ClassDef):
                yield from _parts(node, f"{name}.")
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _parts(node, around)


def _python(text: str, _path: str, name: str, block: str) -> str | None:
    read = _readable(block)
    if read is None:
        return None
    source, tree = read
    lines = text.split("\n")
    known = {part.name: part for part in _parts(parse_python(text))}
    given = [part for part in _parts(tree) if isinstance(part.node, Function)]
    methods = {p.name for p in given if "." in p.name}
    changes: list[tuple[int, int, list[str]]] = []
    for part in given:
        target = _target(part.name, name, known)
        if target is not None:
            changes.append(_replacement(lines, target, source.split("\n"), part))
        elif part.name not in methods and name in known:
            changes.append(_addition(known, name, source.split("\n"), part, block))
    if not changes:
        return None
    for first, end, fresh in sorted(changes, key=lambda change: -change[0]):
        lines[first:end] = fresh
    changed = _with_imports("\n".join(lines), tree)
    try:
        parse_python(changed)
    except SyntaxError:
        return None
    return changed


def _readable(block: str) -> tuple[str, ast.Module] | None:
    """Return a block as source with its tree, with its indentation mended where that helps."""
    plain = block.expandtabs(4).strip("\n")
    first, _, rest = plain.partition("\n")
    dedented = textwrap.dedent(rest)
    variants = [
        plain,
        textwrap.dedent(plain),
        # The first line alone lost its indentation, or kept it.
        first.lstrip() + "\n" + dedented,
        first.lstrip() + "\n" + textwrap.indent(dedented, "    "),
        "class _:\n" + textwrap.indent(textwrap.dedent(plain), "    "),
    ]
    for variant in variants:
        source = variant + "\n"
        with suppress(SyntaxError, RecursionError):
            tree = parse_python(source)
            if any(isinstance(part.node, Function) for part in _parts(tree)):
                return source, tree
    return None


def _target(given: str, asked: str, known: dict[str, _Part]) -> _Part | None:
    """Return the function of the file that one of the answer stands for."""
    short = given.rpartition(".")[2]
    if short == asked.rpartition(".")[2] and ("." not in given or given == asked):
        return known.get(asked)
    around = asked.rpartition(".")[0]
    for name in (given, f"{around}.{short}" if around else short):
        if name in known and isinstance(known[name].node, Function):
            return known[name]
    named = [p for p in known.values() if p.name.rpartition(".")[2] == short]
    if len(named) == 1 and isinstance(named[0].node, Function):
        return named[0]
    return None


def _replacement(
    lines: list[str], target: _Part, source: list[str], part: _Part
) -> tuple[int, int, list[str]]:
    """Return which lines give way, and to which: decorators that were left out stay."""
    first = target.first if part.first != part.header else target.header
    begin = part.first if part.first != part.header else part.header
    indent = _indent(lines[target.header])
    step = _step(lines, target)
    fresh = _laid_out(source, begin, part, indent, step)
    return first, target.end, _with_docstring(lines, target, fresh)


def _with_docstring(lines: list[str], target: _Part, fresh: list[str]) -> list[str]:
    """Return a function's new lines with the docstring that it had: no fault lies in that."""
    old = _docstring(target.node)
    if old is None:
        return fresh
    source = textwrap.dedent("\n".join(fresh))
    try:
        [node] = parse_python(source).body
    except (SyntaxError, ValueError):
        return fresh
    if not isinstance(node, Function):
        return fresh
    new = _docstring(node)
    body = node.body[0].lineno - 1
    kept = lines[old.lineno - 1 : old.end_lineno]
    if new is not None:
        if len(node.body) == 1 and len(target.node.body) > 1:
            return fresh
        return [*fresh[: new.lineno - 1], *kept, *fresh[new.end_lineno :]]
    if node.body[0].lineno == node.lineno:  # On the line of the header, where nothing else fits.
        return fresh
    while fresh[body - 1].lstrip().startswith("#"):
        body -= 1
    return [*fresh[:body], *kept, *fresh[body:]]


def _docstring(node: Function | ast.ClassDef) -> ast.Expr | None:
    """Return the statement that is a function's docstring, where it has lines of its own."""
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is None or first.lineno <= node.lineno:
        return None
    return first if isinstance(first, ast.Expr) else None


def _addition(
    known: dict[str, _Part], asked: str, source: list[str], part: _Part, block: str
) -> tuple[int, int, list[str]]:
    """Return where a function goes that the file does not have: before what was asked about."""
    outer = known[asked.partition(".")[0]]
    takes_self = re.search(rf"def {part.node.name}\(\s*(self|cls)\b", block)
    if takes_self and "." in asked:
        place = known[asked]
        indent = " " * place.node.col_offset
        return place.end, place.end, ["", *_laid_out(source, part.first, part, indent, 4)]
    return outer.first, outer.first, [*_laid_out(source, part.first, part, "", 4), "", ""]


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _step(lines: list[str], part: _Part) -> int:
    """Return by how much a function's body is indented deeper than its header."""
    body = part.node.body[0]
    if body.lineno - 1 <= part.header:
        return 4
    return max(1, len(_indent(lines[body.lineno - 1])) - len(_indent(lines[part.header])))


def _laid_out(source: list[str], begin: int, part: _Part, indent: str, step: int) -> list[str]:
    """Return a function's lines with the indentation that it has to have in the file."""
    base = len(_indent(source[part.header]))
    body = part.node.body[0]
    inner = body.lineno - 1 if body.lineno - 1 > part.header else part.end
    # Comments before the first statement belong to the body.
    while inner > part.header + 1 and source[inner - 1].lstrip().startswith("#"):
        inner -= 1
    shift = step - _step(source, part) if inner < part.end else 0
    tabs = indent.startswith("\t")
    kept = _inside_strings("\n".join(source) + "\n")
    fresh = []
    for number in range(begin, part.end):
        line = source[number]
        if number in kept or not line.strip():
            fresh.append(line if number in kept else "")
            continue
        width = max(0, len(_indent(line)) - base + (shift if number >= inner else 0))
        margin = "\t" * (width // max(step, 1)) if tabs and step == 1 else " " * width
        fresh.append(indent + margin + line.lstrip())
    return fresh


def _inside_strings(source: str) -> set[int]:
    """Return the lines (from 0) that begin inside a string which is no docstring."""
    inside: set[int] = set()
    before = tokenize.NEWLINE
    with suppress(tokenize.TokenError, SyntaxError, IndentationError):
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            alone = before in (tokenize.NEWLINE, tokenize.INDENT, tokenize.NL, tokenize.DEDENT)
            if token.type == tokenize.STRING and not alone:
                inside.update(range(token.start[0], token.end[0]))
            if token.type != tokenize.COMMENT:
                before = token.type
    return inside


def _with_imports(text: str, given: ast.Module) -> str:
    """Return a source with the imports that stand before an answer's functions and are new."""
    tree = parse_python(text)
    known = {dump(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)}
    bound = {name for node in tree.body for name in _bound(node)}
    wanted = [
        ast.unparse(node)
        for node in given.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        and dump(node) not in known
        and not bound.issuperset(_bound(node))
        and not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
    ]
    if not wanted:
        return text
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    after = imports[-1].end_lineno if imports else _docstring_end(tree)
    lines = text.split("\n")
    lines[after or 0 : after or 0] = wanted
    return "\n".join(lines)


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    if isinstance(node, _DEFINITIONS):
        return {node.name}
    return set()


def _docstring_end(tree: ast.Module) -> int | None:
    return tree.body[0].end_lineno if ast.get_docstring(tree) is not None else 0


def _by_grammar(text: str, path: str, name: str, block: str) -> str | None:
    """Put the definition of the name in place, for languages whose layout means nothing."""
    language = language_of(path)
    if language is None:
        return None
    short = name.rpartition(".")[2]
    old, new = (
        [d for d in definitions(language, source.encode()) if d.short == short and d.depth < 3]
        for source in (text, block)
    )
    target = next((d for d in old if d.name == name), None)
    if target is None or not new:
        return None
    lines, fresh = text.split("\n"), block.split("\n")[new[0].start - 1 : new[0].end]
    indent = _indent(lines[target.start - 1])
    plain = textwrap.dedent("\n".join(fresh)).split("\n")
    lines[target.start - 1 : target.end] = [
        f"{indent}{row}" if row.strip() else "" for row in plain
    ]
    return "\n".join(lines)
