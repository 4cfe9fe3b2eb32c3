"""JavaScript tests with what they expect altered, so that each has to fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reapair.tools.code.languages import grammar, language_of

if TYPE_CHECKING:
    from tree_sitter import Node

_LIMIT = 64 * 1024
_COMPARING = frozenset(
    {"equal", "strictEqual", "deepEqual", "deepStrictEqual", "looseEqual", "eql", "same"}
)
_TURNED = {"throws": "doesNotThrow", "doesNotThrow": "throws", "match": "doesNotMatch"}
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
