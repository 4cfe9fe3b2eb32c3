"""Definitions and names of one source file. Text in, text out; what is too odd gives nothing."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reapair.tools.code.definitions import VALUES, Definition
from reapair.tools.code.languages import CONTAINERS, Language, grammar, query
from reapair.tools.code.parsing import LARGEST

if TYPE_CHECKING:
    from tree_sitter import Node

LONGEST_LINES = 300
"""Bytes a line, on average, from which a file of some size is taken for minified."""

_DEEPEST = 2_000
_WIDEST_ERROR = 5_000
_MOST_ERRORS = 2_000
_NAME = 100
_HEADER = 200
_FUNCTIONS = {"function", "method"}
_RECEIVER = re.compile(rb"(\w+)\s*(?:\[.*)?\)$")
_EXPORTS = {"exports", "module", "prototype", "self", "this", "window"}


@dataclass(frozen=True, slots=True)
class Tags:
    """What one file defines, in the order of its text, and how often it says each name."""

    definitions: list[Definition] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)


def tags(language: Language, source: bytes) -> Tags:
    """Return definitions and names of a source file; none of generated or minified ones."""
    found = _captures(language, source)
    if not found:
        return Tags()
    names = Counter([source[node.start_byte : node.end_byte] for node in found.pop("use", ())])
    known = {name.decode("utf-8", "replace"): number for name, number in names.items()}
    defined = list(_definitions(language, source, found))
    for entry in defined:
        known.setdefault(entry.short, 1)
    return Tags(defined, known)


def rows(found: list[Definition]) -> list[list[Any]]:
    """Return definitions as JSON; `Definition(*row)` makes one of a row again."""
    return [
        [
            *(entry.name, entry.kind, entry.header),
            *(entry.start, entry.line, entry.end, entry.depth, entry.local),
        ]
        for entry in found
    ]


def definitions(language: Language, source: bytes) -> list[Definition]:
    """Return what a source file defines, in the order of its text."""
    found = _captures(language, source)
    found.pop("use", None)
    return list(_definitions(language, source, found))


def uses(language: Language, source: bytes, name: str) -> tuple[list[Definition], list[int]]:
    """Return definitions, and the lines (from 1) where the code uses a name.

    Comments, strings and the name's own definitions are no uses.
    """
    found = _captures(language, source)
    wanted = name.encode("utf-8", "replace")
    nodes = [node for node in found.pop("use", ()) if _text(node, source) == wanted]
    known = list(_definitions(language, source, found))
    own = {entry.line for entry in known if entry.short == name}
    return known, sorted({node.start_point[0] + 1 for node in nodes} - own)


def _text(node: Node, source: bytes) -> bytes:
    # A tree that was read piece by piece has to ask for its text piece by piece.
    return source[node.start_byte : node.end_byte]


def _captures(language: Language, source: bytes) -> dict[str, list[Node]]:
    from tree_sitter import Parser, QueryCursor

    if _is_generated(source) or _is_deep(source):
        return {}
    patience = len(source) // 16 + 2_000
    calls = 0

    def is_hopeless(*_: object) -> bool:
        # Counted, not timed: the same file gives the same result on every machine. Real code takes
        # one call for each 200 bytes or so.
        nonlocal calls
        calls += 1
        return calls > patience

    try:
        tree = Parser(grammar(language)).parse(
            lambda offset, _: source[offset : offset + 65_536], progress_callback=is_hopeless
        )
    except ValueError:
        return {}
    if _is_rubble(tree.root_node):
        return {}
    return QueryCursor(query(language), match_limit=4_096).captures(tree.root_node)


def _is_rubble(root: Node) -> bool:
    """Tell whether hardly anything could be parsed.

    Going through an error takes time that grows with the square of its children.
    """
    pending, seen = [root] if root.has_error else [], 0
    while pending:
        node = pending.pop()
        seen += 1
        if (node.is_error and node.child_count > _WIDEST_ERROR) or seen > _MOST_ERRORS:
            return True
        pending += [child for child in node.children if child.has_error]
    return False


def _is_generated(source: bytes) -> bool:
    size = len(source)
    if size > LARGEST or b"\0" in source:
        return True
    return size > 5_000 and size > LONGEST_LINES * (source.count(b"\n") + 1)


def _is_deep(source: bytes) -> bool:
    """Tell whether brackets are nested so deep that some grammar would overflow its stack."""
    if sum(map(source.count, (b"(", b"[", b"{", b"<"))) < _DEEPEST:
        return False
    depth = 0
    for bracket in re.findall(rb"[(\[{<]|[)\]}>]", source):
        depth = depth + 1 if bracket in b"([{<" else max(0, depth - 1)
        if depth > _DEEPEST:
            return True
    return False


def _definitions(
    language: Language, source: bytes, found: dict[str, list[Node]]
) -> Iterator[Definition]:
    wraps: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for node in found.pop("wrap", ()):
        wraps[node.end_byte].append((node.start_byte, node.start_point[0] + 1))
    marked: dict[tuple[int, int], tuple[str, Node]] = {}
    for kind in sorted(found, key=lambda kind: kind in VALUES, reverse=True):
        if kind[0] != "_":
            # A function that is the value of a variable is a function.
            marked |= {(node.start_byte, -node.end_byte): (kind, node) for node in found[kind]}
    around: list[tuple[int, Definition | None, str]] = []
    for place, (kind, node) in sorted(marked.items(), key=lambda item: item[0]):
        end = -place[1]
        while around and around[-1][0] <= place[0]:
            around.pop()
        named = _named(node)
        name = _name(node, named, language, source) if named is not None else ""
        if named is None or not name or (kind == "variable" and around):
            continue
        prefix = around[-1][2] if around else ""
        made = None
        if kind != "scope":
            outer = next((entry for _, entry, _ in reversed(around) if entry), None)
            row = named.start_point[0] + 1
            # A wrap belongs to the outermost definition that ends with it.
            first = _first_line(wraps, place[0], end)
            made = _definition(node, kind, prefix + name, source, outer, row, first)
            yield made
        around.append((end, made, prefix if kind in VALUES else f"{prefix}{name}."))


def _first_line(wraps: dict[int, list[tuple[int, int]]], begin: int, end: int) -> int | None:
    """Take what is wrapped around a definition, and return its first line."""
    for last in (end, end + 1):  # A semicolon may follow.
        own = [wrap for wrap in wraps.get(last, ()) if wrap[0] <= begin]
        if own:
            wraps[last] = [wrap for wrap in wraps[last] if wrap not in own]
            return min(own)[1]
    return None


def _definition(
    node: Node,
    kind: str,
    name: str,
    source: bytes,
    outer: Definition | None,
    line: int,
    wrapped: int | None,
) -> Definition:
    row, column = node.end_point
    start = node.start_point[0] + 1
    if kind == "function" and outer is not None and outer.kind in CONTAINERS:
        kind = "method"
    return Definition(
        name,
        kind,
        _header(node, source),
        min(start, wrapped or start),
        line,
        max(row + 1 if column else row, line),
        outer.depth + 1 if outer else 0,
        outer is not None and (outer.local or outer.kind in _FUNCTIONS),
    )


def _named(node: Node) -> Node | None:
    """Return the node of the name that a definition gives."""
    for part in ("name", "declarator", "left", "key", "property", "type"):
        named = node.child_by_field_name(part)
        if named is not None:
            break
    else:
        named = node.named_child(0)
    while named is not None and named.type.endswith("_declarator"):
        # A reference's declarator is no field of it.
        inner = named.child_by_field_name("declarator") or named.named_child(0)
        if inner is None:
            break
        named = inner
    return named


def _name(node: Node, named: Node, language: Language, source: bytes) -> str:
    """Return the name, dotted where the code itself says what is around it."""
    text = _text(named, source)[: 4 * _NAME].decode("utf-8", "replace")
    receiver = node.child_by_field_name("receiver") if language.name == "Go" else None
    if receiver is not None and (owner := _RECEIVER.search(_text(receiver, source))):
        text = f"{owner[1].decode('utf-8', 'replace')}.{text}"
    if text.isidentifier():
        return text[:_NAME]
    text = re.sub(r"<.*>|\s+|^[&*$\"']+|[\"']$", "", text, flags=re.S)
    parts = [part for part in re.split(r"::|\.|->", text) if part not in _EXPORTS]
    return ".".join(filter(None, parts))[:_NAME]


def _header(node: Node, source: bytes) -> str:
    """Return what stands before the body, or the first line, as one line."""
    body = node.child_by_field_name("body")
    end = node.end_byte if body is None else body.start_byte
    text = source[node.start_byte : min(end, node.start_byte + 4 * _HEADER)]
    first, *rest = text.decode("utf-8", "replace").split("\n")
    # A comment between the header and the body belongs to neither.
    more = [line for line in rest if not line.lstrip().startswith(("#", "//"))]
    if body is not None and more:
        first = " ".join(" ".join([first, *more]).split()).replace("( ", "(").replace(", )", ")")
    return " ".join(first.split()).rstrip("{ ")[:_HEADER].strip()
