"""JavaScript tests with what they expect altered, so that each has to fail."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reapair.tools.code.languages import grammar, language_of

if TYPE_CHECKING:
    from tree_sitter import Node

_LIMIT = 64 * 1024
_COMPARING = frozenset(
    {"equal", "strictEqual", "deepEqual", "deepStrictEqual", "looseEqual", "eql", "same"}
)
_TURNED = {"throws": "doesNotThrow", "doesNotThrow": "throws", "match": "doesNotMatch"}
_RUNNER = frozenset(
    {"test", "it", "describe", "suite", "before", "after", "beforeEach", "afterEach", "require"}
    | {"assert", "import"}
)
_TELLING = re.compile(r"(?<=[\"'])[^\"'\n]{2,}(?=[\"'])|\b\d{2,}\b")
_HELPER = """
function __reapairAltered(value) {
  if (typeof value === 'number') return value * 10 + 7;
  if (typeof value === 'string') return value + '~';
  if (typeof value === 'boolean') return !value;
  if (Array.isArray(value)) return value.concat([{ altered: true }]);
  return { altered: true };
}
"""


def with_altered_expectations(path: str, source: str) -> str:
    """Return the file with every assertion altered; "" where one of them is not known."""
    language, data = language_of(path), source.encode("utf-8", "replace")
    if language is None or len(data) > _LIMIT:
        return ""
    from tree_sitter import Parser

    edits: list[tuple[int, int, str]] = []
    queue = [Parser(grammar(language)).parse(data).root_node]
    while queue:
        node = queue.pop()
        if node.type == "call_expression" and _is_assertion(node, data):
            edit = _altered(node, data)
            if edit is None:
                return ""
            edits.append(edit)
        else:
            queue += node.children
    for begin, end, text in sorted(edits, reverse=True):
        data = data[:begin] + text.encode() + data[end:]
    return data.decode("utf-8", "replace") + _HELPER if edits else ""


def with_nudged_inputs(path: str, source: str) -> list[str]:
    """Return files in which numbers and texts given to calls are others than before.

    What an assertion compares with stays: nothing is judged, both sides are only compared.
    """
    language, data = language_of(path), source.encode("utf-8", "replace")
    if language is None or len(data) > _LIMIT:
        return []
    from tree_sitter import Parser

    found: list[Node] = []
    queue = [(Parser(grammar(language)).parse(data).root_node, False)]
    while queue:
        node, inside = queue.pop()
        if node.type in ("number", "string") and inside:
            found.append(node)
        given = node.child_by_field_name("arguments") if node.type == "call_expression" else None
        name = _text(node.child_by_field_name("function"), data) if given else ""
        inner = _is_product_call(name)
        queue += [(child, (inner or inside) if child == given else inside)
                  for child in node.children]  # fmt: skip
    variants = [data] * 3
    for node in sorted(found, key=lambda n: n.start_byte, reverse=True):
        for place, new in enumerate(_near(_text(node, data))):
            head, tail = variants[place][: node.start_byte], variants[place][node.end_byte :]
            variants[place] = head + new.encode() + tail
    return [each.decode("utf-8", "replace") for each in variants] if found else []


def _is_product_call(name: str) -> bool:
    return name.partition(".")[0] not in _RUNNER and not name.startswith("expect(") and bool(name)


def _near(literal: str) -> tuple[str, str, str]:
    """Return three literals next to one; borders stay what they are."""
    if literal[:1] in "'\"":
        inner, quote = literal[1:-1], literal[:1]
        if not inner:
            return literal, literal, literal
        return (quote + inner + inner[-1] + quote, quote + inner[0] + inner + quote,
                quote + inner.swapcase() + quote)  # fmt: skip
    if literal in ("0", "1"):
        return literal, literal, literal
    return f"{literal}0", f"1{literal}", f"({literal} + 1)"


def shared_literals(added: str, test: str) -> set[str]:
    """Return telling numbers and texts that stand both in added code and in a test."""
    return set(_TELLING.findall(added)) & set(_TELLING.findall(test))


def _is_assertion(node: Node, data: bytes) -> bool:
    name = _text(node.child_by_field_name("function"), data)
    return name.partition(".")[0] in ("assert", "t.assert") or name.startswith("expect(")


def _altered(node: Node, data: bytes) -> tuple[int, int, str] | None:
    function = node.child_by_field_name("function")
    given = node.child_by_field_name("arguments")
    if function is None or given is None:
        return None
    name, values = _text(function, data), [n for n in given.children if n.is_named]
    method = name.rpartition(".")[2]
    if name.startswith("expect("):
        head = name[: -len(method) - 1]
        turned = head.removesuffix(".not") if head.endswith(".not") else f"{head}.not"
        return function.start_byte, function.end_byte, f"{turned}.{method}"
    if method in _COMPARING and len(values) > 1:
        shown = _text(values[1], data)
        return values[1].start_byte, values[1].end_byte, f"__reapairAltered({shown})"
    if method in ("assert", "ok") and values:
        return values[0].start_byte, values[0].end_byte, f"!({_text(values[0], data)})"
    if method in _TURNED:
        end = function.end_byte
        return end - len(method.encode()), end, _TURNED[method]
    return None


def _text(node: Node | None, data: bytes) -> str:
    return data[node.start_byte : node.end_byte].decode("utf-8", "replace") if node else ""
