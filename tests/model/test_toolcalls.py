"""Calls as servers give them, made into calls that can be run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reapair.agent.model.call_assembly import RawCall
from reapair.agent.model.toolcalls import MalformedArguments, check, coerce, parse_arguments
from support.sse import TOOLS, tool


def checked(arguments: str, name: str = "read") -> Any:
    return check(RawCall("id", name, arguments), TOOLS, "id")


def test_valid_arguments_are_stored_byte_for_byte() -> None:
    text = '{ "path":"a.py" , "start_line":  3}'
    result = checked(text)
    assert result.stored["function"] == {"name": "read", "arguments": text}
    assert result.call.arguments == {"path": "a.py", "start_line": 3}
    assert result.call.error is None
    assert result.call.notes == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"path": "a",}', {"path": "a"}),
        ('```json\n{"path": "a"}\n```', {"path": "a"}),
        (json.dumps('{"path": "a"}'), {"path": "a"}),
        ('{"path": "a\nb"}', {"path": "a\nb"}),
        ('{"path": "a", "path": "a"}', {"path": "a"}),
    ],
)
def test_mended_arguments_are_stored_in_canonical_form(text: str, expected: Any) -> None:
    result = checked(text)
    assert result.call.arguments == expected
    assert json.loads(result.stored["function"]["arguments"]) == expected


@pytest.mark.parametrize(
    "text",
    ['{"path": "a', '{"path": "a"', "[1]", "3", '{"path": NaN}', '{"path": 1e999}', "x" * 50,
     '{"path": "\\ud800"}', '{"path": "a", "path": "b"}', "[" * 100_000, '{"a":' * 5_000],
)  # fmt: skip
def test_what_servers_would_choke_on_is_malformed(text: str) -> None:
    with pytest.raises(MalformedArguments):
        parse_arguments(text)


@pytest.mark.parametrize("name", ["Read", "read_file", "functions.read", "view", "READ"])
def test_other_names_of_a_tool(name: str) -> None:
    result = checked('{"path": "a"}', name)
    assert (result.call.name, result.stored["function"]["name"]) == ("read", "read")


def test_an_unknown_tool_is_answered_with_the_known_ones() -> None:
    result = checked("{}", "teleport")
    assert result.call.error == (
        "There is no tool 'teleport'. The tools are: read, search, edit, bash."
    )


def test_other_names_of_arguments_are_noted_and_stored_right() -> None:
    result = checked('{"file_path": "a", "colour": "red"}')
    assert result.call.arguments == {"path": "a"}
    assert json.loads(result.stored["function"]["arguments"]) == {"path": "a"}
    assert [note.split()[2] for note in result.call.notes] == ["file_path", "colour"]


@pytest.mark.parametrize("text", ["", "{}", "null", '{"path": null}', '{"start_line": 2}'])
def test_a_missing_argument_is_named(text: str) -> None:
    error = checked(text).call.error
    assert error is not None
    assert "path is missing" in error
    assert "start_line (integer)" in error


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("integer", "5", 5), ("integer", "-3 ", -3), ("integer", "5.0", 5), ("integer", 5.0, 5),
        ("integer", "soon", "soon"), ("boolean", "true", True), ("boolean", "False", False),
        ("boolean", "1", True), ("boolean", "yes", "yes"), ("number", "2.5", 2.5),
        ("array", "[1,2]", [1, 2]), ("array", "[1", "[1"), ("object", '{"a": 1}', {"a": 1}),
        ("object", "[1]", "[1]"), ("string", 5, "5"), ("string", True, "true"),
        ("string", {"a": 1}, '{"a": 1}'), ("string", '"x"', '"x"'), (None, "5", "5"),
    ],
)  # fmt: skip
def test_types_follow_the_schema(kind: str | None, value: Any, expected: Any) -> None:
    schema = {"properties": {"x": {"type": kind} if kind else {}}}
    assert coerce({"x": value}, schema) == {"x": expected}


def test_null_for_an_optional_argument_means_that_it_was_left_out() -> None:
    assert checked('{"path": "a", "start_line": null}').call.arguments == {"path": "a"}


def test_arguments_are_decoded_for_tools_and_stored_as_generated() -> None:
    text = '{"path":"<~|user|>.md"}'
    result = checked(text)
    assert result.call.arguments == {"path": "<|user|>.md"}
    assert result.stored["function"]["arguments"] == text


def test_a_tool_with_the_name_of_an_alias_wins() -> None:
    tools = [tool("view", "path"), tool("read", "path")]
    assert check(RawCall("", "view", '{"path":"a"}'), tools, "i").call.name == "view"
