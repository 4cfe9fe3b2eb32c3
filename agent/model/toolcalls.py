"""From what a server calls a tool call to one that can be run: names, arguments, types."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reapair.agent.model.call_assembly import RawCall
from reapair.agent.model.control_tokens import ANY_FAMILY, ControlTokens
from reapair.agent.model.types import ToolCall

# What models trained on other harnesses call the same things.
TOOL_ALIASES = {
    "read": ("read_file", "view", "view_file", "open", "open_file", "cat"),
    "search": ("grep", "find", "search_files", "search_code", "ripgrep"),
    "edit": ("edit_file", "str_replace", "str_replace_editor", "write_file", "replace"),
    "bash": ("run_command", "shell", "execute", "execute_bash", "terminal", "run_bash", "cmd"),
    "run_tests": ("test", "tests", "run_test", "pytest"),
    "symbols": ("symbol", "find_symbol", "outline"),
    "submit": ("finish", "done", "complete", "final_answer"),
}
ARGUMENT_ALIASES = {
    "path": ("file_path", "filepath", "file", "filename", "directory"),
    "command": ("cmd", "script", "bash", "shell_command"),
    "old_str": ("old_string", "old", "old_text", "search"),
    "new_str": ("new_string", "new", "new_text", "replace", "content", "file_text"),
    "pattern": ("query", "regex", "text", "search_pattern"),
    "start_line": ("start", "from_line", "line_start"),
    "end_line": ("end", "to_line", "line_end"),
    "summary": ("message", "description", "answer", "result"),
    "selector": ("test", "tests", "target"),
    "name": ("symbol", "symbol_name"),
}


_MARKUP = re.compile(r"<[^<>\s]*>?|\[/?[A-Z_]+\]|[`\"'=]+")
_NAME = re.compile(r"(?:(?P<outer>\w[\w.:/-]*)[.:/])?(?P<name>[A-Za-z_][\w-]*?)(?:[:#]\d+)?")
_LONGEST_NAME = 200


class MalformedArguments(ValueError):  # noqa: N818 - a state of the text, said as one
    """The arguments are not a JSON object, or one is given twice. The message says which."""


@dataclass(frozen=True, slots=True)
class CheckedCall:
    """A call to run and the form in which it is stored in the history."""

    call: ToolCall
    stored: dict[str, Any]


def check(
    raw: RawCall,
    tools: Sequence[dict[str, Any]],
    call_id: str,
    control: ControlTokens = ANY_FAMILY,
) -> CheckedCall:
    """Check a raw call against the tools offered and repair what is surely meant.

    An unknown tool or a missing argument becomes `ToolCall.error`, which the model can answer to.
    Raises MalformedArguments when the arguments can't be read at all.
    """
    functions = {tool["function"]["name"]: tool["function"] for tool in tools}
    arguments, exact = parse_arguments(raw.arguments)
    name = resolve_name(raw.name, functions)
    notes: list[str] = []
    error = None
    if name is None:
        name = safe_name(raw.name)
        called = raw.name[:_LONGEST_NAME] or name
        error = f"There is no tool {called!r}. The tools are: {', '.join(functions)}."
    else:
        schema = functions[name].get("parameters") or {}
        arguments, notes = _fit(arguments, schema)
        error = _missing(name, arguments, schema)
    text = raw.arguments if exact and not notes else json.dumps(arguments, ensure_ascii=False)
    final = coerce(arguments, functions.get(name, {}).get("parameters") or {})
    call = ToolCall(call_id, name, control.decode_values(final), error, tuple(notes))
    function = {"name": name, "arguments": text}
    return CheckedCall(call, {"id": call_id, "type": "function", "function": function})


def parse_arguments(text: str) -> tuple[dict[str, Any], bool]:
    """Return the arguments as an object and whether `text` itself is valid JSON of it.

    Mends only what can't change the meaning: nothing at all, code fences, a trailing comma, an
    object inside a JSON string. Never closes quotes or braces: a cut value would look whole.
    """
    if not text.strip():
        return {}, False
    try:
        value = _load(text)
    except MalformedArguments:
        raise
    except ValueError:
        mended = re.sub(r",(\s*)\}\s*\Z", r"\1}", _without_fences(text))
        try:
            return _object(_load(mended, strict=False)), False
        except MalformedArguments:
            raise
        except ValueError as error:
            raise MalformedArguments(f"the arguments are not a JSON object: {error}") from None
    if isinstance(value, dict):
        return value, True
    if value is None:
        return {}, False
    if isinstance(value, str):
        return parse_arguments(value)[0], False
    raise MalformedArguments(f"the arguments are a JSON {type(value).__name__}, not an object")


def resolve_name(name: str, offered: Mapping[str, Any]) -> str | None:
    """Return the offered tool that is meant by `name`, or None.

    What surrounds a name is dropped: markup and what follows it, quotes, a namespace in front
    (`functions.read`), a number behind (`read:0`). What is left must be the whole name of a tool.
    """
    if name in offered:
        return name
    text = _MARKUP.sub(" ", name[:_LONGEST_NAME])
    words = text.split()
    if text == name[:_LONGEST_NAME] and len(words) > 1:  # a sentence
        return None
    return next((known for word in words if (known := _tool(word, offered))), None)


def _tool(word: str, offered: Mapping[str, Any]) -> str | None:
    """Return the offered tool that one word names, whatever namespace it stands in."""
    match = _NAME.fullmatch(word.strip("()[]{},;!?."))
    if match is None or (match["outer"] and _tool(match["outer"], offered)):
        return None  # a tool is no namespace
    plain = match["name"].lower().replace("-", "_")
    for known in offered:
        if plain in (known.lower(), *TOOL_ALIASES.get(known, ())):
            return known
    return None


def safe_name(name: str) -> str:
    """Return a tool's name in letters that every server takes in a history."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:64] or "unknown"


def safe_id(call_id: str) -> str:
    """Return a call's id in letters that every server takes in a history."""
    return re.sub(r"[^A-Za-z0-9_.:-]+", "_", call_id)[:64]


def coerce(arguments: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with the types the schema asks for, where the value says the same."""
    properties = schema.get("properties") or {}
    return {
        name: _coerce_value(value, (properties.get(name) or {}).get("type"))
        for name, value in arguments.items()
    }


def _coerce_value(value: Any, kind: Any) -> Any:
    if kind == "string" and not isinstance(value, str):
        return "" if value is None else json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str):
        if kind == "integer" and isinstance(value, float) and value.is_integer():
            return int(value)
        return value
    text = value.strip()
    if kind == "boolean" and text.lower() in ("true", "false", "1", "0"):
        return text.lower() in ("true", "1")
    if kind == "integer" and re.fullmatch(r"[+-]?\d{1,18}(\.0+)?", text):
        return int(text.split(".")[0])
    if kind == "number" and re.fullmatch(r"[+-]?\d{1,18}(\.\d{1,18})?", text):
        return float(text)
    if kind in ("array", "object"):
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            return value
        return parsed if isinstance(parsed, list if kind == "array" else dict) else value
    return value


def _fit(arguments: dict[str, Any], schema: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Rename known other names of arguments, drop unknown ones; say what was done."""
    properties = schema.get("properties") or {}
    optional = set(properties) - set(schema.get("required") or ())
    fitted: dict[str, Any] = {}
    notes = []
    for name, value in arguments.items():
        if name in properties:
            if name not in optional or not _is_nothing(value, properties[name].get("type")):
                fitted[name] = value
            continue
        meant = _meant(name, properties)
        if meant and meant not in arguments and meant not in fitted:
            if not _is_nothing(value, properties[meant].get("type")):
                fitted[meant] = value
            notes.append(f"The argument {name} was taken as {meant}.")
        else:
            notes.append(f"The argument {name} is unknown and was left out.")
    return fitted, notes


def _is_nothing(value: Any, kind: Any) -> bool:
    """Return whether the value of an optional argument means that it was left out.

    A word that says so is one only where no word is wanted.
    """
    if isinstance(value, str) and kind not in ("string", None):
        return value.strip().lower() in ("", "none", "null", "nil", "undefined")
    return value is None


def _meant(name: str, properties: Mapping[str, Any]) -> str | None:
    plain = name.strip().lower().replace("-", "_")
    for known in properties:
        if plain == known.lower() or plain in ARGUMENT_ALIASES.get(known, ()):
            return known
    return None


def _missing(name: str, arguments: dict[str, Any], schema: Mapping[str, Any]) -> str | None:
    missing = [key for key in schema.get("required") or () if arguments.get(key) is None]
    if not missing:
        return None
    takes = ", ".join(
        f"{key} ({entry.get('type', 'string')})"
        for key, entry in (schema.get("properties") or {}).items()
    )
    return f"{name} was not called: {' and '.join(missing)} is missing. It takes: {takes}."


def _load(text: str, *, strict: bool = True) -> Any:
    """Parse JSON that every server will parse too: no NaN, no half surrogate, no infinity."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, strict=strict)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        raise ValueError("too deeply nested") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Accept a key given twice only when both values are the same."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result and result[key] != value:
            raise MalformedArguments(f"the argument {key} was given twice")
        result[key] = value
    return result


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"a JSON {type(value).__name__}")
    return value


def _without_fences(text: str) -> str:
    match = re.fullmatch(r"\s*```\w*\n(.*?)\n?```\s*", text, re.DOTALL)
    return match[1] if match else text
