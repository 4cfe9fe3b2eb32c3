"""Finds complete tool calls that a server left in the text of an answer.

GLM's own markup and what the family has been seen to write instead of it, Hermes JSON and
`<function=…>`. Only calls of offered tools, only whole ones, only at the end of the text or, in
JSON, in a fence of their own, and never one that stands in what the model was given to read: that
would be a quotation, or an attack.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reapair.agent.model.call_assembly import RawCall
from reapair.agent.model.limits import parse_json
from reapair.agent.model.toolcalls import resolve_name
from reapair.tools.python_source import parse_python

_LONGEST = 200_000
_LONGEST_SELFCLOSED = 1_000
_OPEN = r"<tool_call>|<function=(?P<function>[\w.-]+)>|<invoke name=\"(?P<invoke>[\w.-]+)\">"
_TAG = re.compile(rf"{_OPEN}|(?P<close></(?:tool_call|function|invoke)>|/>)")
_WRAPPING = ("<tool_call>", "<tool_calls>", "<function_calls>", "```xml", "```json", "```")
_STRAY = re.compile(r"(?:\s|</?(?:tool_call|tool_calls|function_calls|think)>|```)*\Z")
_TURN_END = re.compile(r"<\|(?:observation|user|endoftext)\|>|<tool_response>")
_GLM_PAIR = re.compile(
    r"\s*<arg_key>(?P<key>[^<>]*)</arg_key>\s*<arg_value>(?P<value>(?:(?!</arg_value>).)*)</arg_value>",
    re.DOTALL,
)
_PARAMETER = re.compile(
    r"\s*<parameter(?:=| name=\")(?P<key>[\w-]+)\"?>(?P<value>(?:(?!</parameter>).)*)</parameter>",
    re.DOTALL,
)
_FENCE = re.compile(r"```[\w-]*\s*")
_FENCE_END = re.compile(r"\s*```")
_BLANK = re.compile(r"\s*")
_ATTRIBUTE = re.compile(r"\s*(?P<key>\w+)=\"(?P<value>[^\"]*)\"")

Schemas = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Salvage:
    """Calls found in a text, and the text in front of them."""

    calls: tuple[RawCall, ...]
    before: str


@dataclass(frozen=True, slots=True)
class _Found:
    start: int
    end: int
    call: RawCall


def salvage(
    text: str,
    tools: Sequence[dict[str, Any]],
    given: Iterable[str] = (),
    *,
    fences: bool = True,
) -> Salvage | None:
    """Return the complete calls that `text` ends with, or that stand in fences in it, or None.

    Args:
        text: content or reasoning of an answer that came to its own end.
        tools: the tools offered, as sent to the server.
        given: what the model was given to read; a call that stands in it is not taken.
        fences: False for thoughts, in which a call may be one that was only thought of.
    """
    if len(text) > _LONGEST:
        return None
    schemas = {tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in tools}
    text = _own_turn(text)
    found = _at_the_end(text, list(_marked_up(text, schemas))) or _bare_json(text, schemas)
    if not found and fences:
        found = list(_fenced_json(text, schemas))
    if not found:
        return None
    given = list(given)
    if any(text[item.start : item.end].strip() in source for item in found for source in given):
        return None
    return Salvage(tuple(item.call for item in found), _unwrapped(text[: found[0].start]))


def _unwrapped(before: str) -> str:
    """Take the outer opening tags of a call from the end of the text in front of it."""
    while (bare := before.rstrip()).endswith(_WRAPPING):
        wrapping = next(tag for tag in _WRAPPING if bare.endswith(tag))
        before = bare.removesuffix(wrapping)
    return before


def _own_turn(text: str) -> str:
    """Cut off what the model made up of the answer to its call."""
    first_call = re.search(_OPEN, text)
    end = _TURN_END.search(text, first_call.end() if first_call else 0)
    return text[: end.start()] if end else text


def _marked_up(text: str, schemas: Schemas) -> Iterator[_Found]:
    """Yield calls between tags, one after the other; what is nested or left open is not a call."""
    opening: re.Match[str] | None = None
    for tag in _TAG.finditer(text):
        if tag["close"] is None:
            # <tool_call><function=…> is one call with two opening tags
            wrapped = opening is not None and not text[opening.end() : tag.start()].strip()
            opening = tag if opening is None or wrapped else None
        elif opening is not None:
            selfclosed = tag["close"] == "/>"
            if selfclosed and tag.start() - opening.end() > _LONGEST_SELFCLOSED:
                continue
            body = text[opening.end() : tag.start()]
            call = _parse(opening, body, schemas, selfclosed=selfclosed)
            if call is not None and not _quoted(text, opening.start()):
                yield _Found(opening.start(), tag.end(), call)
            if call is not None or not selfclosed:
                opening = None


def _parse(
    opening: re.Match[str], body: str, schemas: Schemas, *, selfclosed: bool
) -> RawCall | None:
    if named := opening["function"] or opening["invoke"]:
        return _call(named, _pairs(body, _PARAMETER, trim=True), schemas)
    body = body.strip()
    if selfclosed:
        name, _, rest = body.partition(" ")
        return _call(name, _pairs(rest, _ATTRIBUTE), schemas)
    if body.startswith("{"):
        return _from_json(body, schemas)
    name, mark, _ = body.partition("<arg_key>")
    if mark or name == body:
        call = _call(name.strip(), _pairs(body[len(name) :], _GLM_PAIR), schemas)
        if call is not None:
            return call
    return _python_style(body, schemas) or _shortened(body, schemas)


def _pairs(body: str, pattern: re.Pattern[str], *, trim: bool = False) -> dict[str, str] | None:
    """Return the arguments if the body is nothing but whole ones, each given once."""
    arguments: dict[str, str] = {}
    position = 0
    while match := pattern.match(body, position):
        key, value = match["key"].strip(), match["value"]
        if key in arguments:
            return None
        if trim:  # this markup puts a value on lines of its own
            value = value.removeprefix("\n").removesuffix("\n")
        arguments[key] = value
        position = match.end()
    return arguments if not body[position:].strip() else None


def _from_json(body: str, schemas: Schemas) -> RawCall | None:
    """Read `{"name": …, "arguments": {…}}`, under the names that are in use for both."""
    try:
        return _from_value(parse_json(body), schemas)
    except ValueError:
        return None


def _from_value(value: Any, schemas: Schemas) -> RawCall | None:
    if not isinstance(value, dict):
        return None
    if isinstance(inner := value.get("function"), dict):  # as in a message of the API
        value = inner
    name = value.get("name") or value.get("tool") or value.get("function")
    for key in ("arguments", "parameters", "args", "input"):
        arguments = value.get(key)
        if isinstance(arguments, str):
            try:
                arguments = parse_json(arguments)
            except ValueError:
                return None
        if isinstance(arguments, dict):
            return _call(name, arguments, schemas)
    return None


def _python_style(body: str, schemas: Schemas) -> RawCall | None:
    """Read `tool(key="value")`."""
    if not body.endswith(")") or len(body) > 20_000:
        return None
    try:
        [line] = parse_python(body).body
        node = line.value if isinstance(line, ast.Expr) else None
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.args:
            return None
        arguments = {item.arg or "": ast.literal_eval(item.value) for item in node.keywords}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None
    return _call(node.func.id, arguments, schemas)


def _shortened(body: str, schemas: Schemas) -> RawCall | None:
    """Read `tool>value` for the one required argument, and `tool>` with `key: value` lines."""
    name, mark, rest = body.partition(">")
    known = resolve_name(name, schemas)
    if not mark or known is None or "<" in name:
        return None
    properties = schemas[known].get("properties") or {}
    lines = [line.partition(":") for line in rest.strip().splitlines()]
    if lines and all(colon and key.strip() in properties for key, colon, _ in lines):
        return _call(known, {key.strip(): value.strip() for key, _, value in lines}, schemas)
    required: list[str] = list(schemas[known].get("required") or ())
    if len(required) == 1 and rest.strip() and "<" not in rest:
        return _call(known, {required[0]: rest.strip()}, schemas)
    return None


def _bare_json(text: str, schemas: Schemas) -> list[_Found]:
    """Read a text that is nothing but calls in JSON."""
    found, position = list[_Found](), 0
    while text[position:].strip():
        start = _BLANK.match(text, position).end()  # type: ignore[union-attr]
        read = _json_calls(text, start, schemas)
        if read is None:
            return []
        found += read
        position = read[-1].end
    return found


def _fenced_json(text: str, schemas: Schemas) -> Iterator[_Found]:
    """Yield the calls in JSON that fill a fenced block each, wherever the blocks stand."""
    position = 0
    while opening := _FENCE.search(text, position):
        position = opening.end()
        read = _json_calls(text, opening.end(), schemas)
        if read and (closing := _FENCE_END.match(text, read[-1].end)):
            yield replace(read[0], start=opening.start())
            yield from read[1:]
            position = closing.end()


def _json_calls(text: str, start: int, schemas: Schemas) -> list[_Found] | None:
    """Return the calls of the one JSON value that begins here, an object or a list of them."""
    if text[start : start + 1] not in ("{", "["):
        return None
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    entries = value if isinstance(value, list) else [value]
    calls = [_from_value(entry, schemas) for entry in entries]
    if not calls or not all(calls):
        return None
    return [_Found(start, end, call) for call in calls if call]


def _call(name: Any, arguments: Mapping[str, Any] | None, schemas: Schemas) -> RawCall | None:
    """Return the call if its tool is offered and its arguments could be read."""
    known = resolve_name(name, schemas) if isinstance(name, str) else None
    if known is None or arguments is None:
        return None
    try:
        text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, TypeError, RecursionError):
        return None
    return RawCall(name=known, arguments=text)


def _quoted(text: str, start: int) -> bool:
    """Say whether a call is set in quotation marks, in a quoted line or in a block of code."""
    line = text.rfind("\n", 0, start) + 1
    before = text[line:start]
    return before.rstrip(" ").endswith(("`", '"', "'", "“")) or before.lstrip().startswith(">")


def _at_the_end(text: str, found: list[_Found]) -> list[_Found]:
    """Return the run of calls that the text ends with: nothing but white space among them."""
    run: list[_Found] = []
    end = len(text)
    for item in reversed(found):
        if not _STRAY.fullmatch(text, item.end, end):
            break
        run.insert(0, item)
        end = item.start
    return run
