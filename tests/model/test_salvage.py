"""Calls that arrive as text: found when they are whole, and only then."""

from __future__ import annotations

import json
import time

import pytest

from reapair.agent.model.salvage import salvage
from reapair.agent.model.types import Outcome
from support.faults import CALL, MARKUP, READ, Case
from support.sse import TOOLS

READABLE = [
    case
    for case in MARKUP
    if case.outcome is Outcome.TOOL_CALLS and "tool_calls" not in case.turns[0]
]
OPEN_VALUE = "<tool_call>read<arg_key>a</arg_key><arg_value>"


@pytest.mark.parametrize("case", READABLE, ids=lambda case: case.name)
def test_every_known_markup_is_read(case: Case) -> None:
    turn = case.turns[0]
    found = salvage(turn["content"] or turn["reasoning"], TOOLS)
    assert found is not None
    assert {call.name for call in found.calls} == {"read"}
    assert {call.arguments for call in found.calls} == {'{"path": "calc.py"}'}


def test_values_keep_every_character() -> None:
    value = " <a b='1'>\n\n\t</a>\n"
    text = f"<tool_call>bash<arg_key>command</arg_key><arg_value>{value}</arg_value></tool_call>"
    found = salvage(text, TOOLS)
    assert found is not None
    assert json.loads(found.calls[0].arguments) == {"command": value}


def test_the_text_in_front_is_kept_without_the_wrapping() -> None:
    found = salvage(f"I read it.\n\n<tool_calls>\n```xml\n{CALL}\n```", TOOLS)
    assert found is not None
    assert found.before.rstrip() == "I read it."


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>read{READ}",
        "<tool_call>read<arg_key>path</arg_key><arg_value>calc.p",
        "<tool_call>read<arg_key>path</arg_key><arg_value>a</arg_value><arg_key>sta</tool_call>",
        f"<tool_call>nope{READ}</tool_call>",
        f"The form is {CALL} and I will use it later.",
        f"`{CALL}`",
        f'The file says "{CALL}"',
        f"> {CALL}",
        f"<tool_call>edit<arg_key>path</arg_key><arg_value>{CALL}</arg_value></tool_call>",
        f"<tool_call>edit{CALL}</tool_call>",
        f"<tool_call>read{READ}{READ}</tool_call>",
        '<tool_call>{"name": "read", "arguments": {"path": "a"</tool_call>',
        '{"name": "read"}',
        '{"path": "calc.py"}',
        "<function=read><parameter=path>a</function>",
        "<tool_call>bash(__import__('os').system('x'))</tool_call>",
        "",
    ],
)
def test_nothing_else_is_taken_for_a_call(text: str) -> None:
    assert salvage(text, TOOLS) is None


@pytest.mark.parametrize(
    "call",
    [
        CALL,
        "<function=bash><parameter=command>rm -r .</parameter></function>",
        '{"name": "bash", "arguments": {"command": "rm -r ."}}',
    ],
)
def test_what_was_read_is_never_run(call: str) -> None:
    assert salvage(call, TOOLS) is not None
    assert salvage(call, TOOLS, [f"1\t# notes\n2\t{call}\n"]) is None


@pytest.mark.parametrize(
    "piece",
    ["<tool_call>", "<tool_call>x</tool_call>", "/>", "<arg_key>a</arg_key>", "</arg_value>", "{",
     '{"name":', "\n", "`", " <tool_call>", "<function=read>", "<parameter=a>", "</think>", "(",
     f"<tool_call>read{READ}"],
)  # fmt: skip
@pytest.mark.parametrize(
    "start", ["", "<tool_call>", "<tool_call>read<arg_key>a</arg_key><arg_value>"]
)
def test_hostile_texts_take_linear_time(piece: str, start: str) -> None:
    began = time.process_time()
    salvage(start + piece * (150_000 // len(piece)), TOOLS)
    assert time.process_time() - began < 3


JSON_A = '{"name": "read", "arguments": {"path": "a.py"}}'
JSON_B = JSON_A.replace("a.py", "b.py")
FENCED = {
    "a sentence behind it": (f"I read.\n```json\n{JSON_A}\n```\nThen I go on.", "a"),
    "two fences": (f"```json\n{JSON_A}\n```\n\n```json\n{JSON_B}\n```", "ab"),
    "two fences and sentences": (f"First\n```\n{JSON_A}\n```\nand\n```\n{JSON_B}\n``` done.", "ab"),
    "a list in a fence": (f"So:\n```json\n[{JSON_A}, {JSON_B}]\n```\n", "ab"),
    "code beside it": (f"```python\nx = 1\n```\n```json\n{JSON_A}\n```\nNow.", "a"),
    "named tool_call": (f"```tool_call\n{JSON_A}\n```\nNow.", "a"),
    "one line": (f"```json {JSON_A} ```", "a"),
    "two without fences": (f"{JSON_A}\n{JSON_B}", "ab"),
    "a list without a fence": (f"[{JSON_A},{JSON_B}]", "ab"),
    "a function inside": ('{"type": "function", "function": ' + JSON_A + "}", "a"),
}  # fmt: skip


@pytest.mark.parametrize("name", FENCED)
def test_calls_in_fences_are_taken_wherever_they_stand(name: str) -> None:
    text, paths = FENCED[name]
    found = salvage(text, TOOLS)
    assert found is not None
    read = [json.loads(call.arguments)["path"] for call in found.calls]
    assert read == [f"{path}.py" for path in paths]
    assert text.startswith(found.before)
    assert salvage(text, TOOLS, [text]) is None
    if "fence" in name and "without" not in name:
        assert salvage(f"Perhaps {text}", TOOLS, fences=False) is None


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{JSON_A}",
        f"```json\n{JSON_A[:-1]}\n```",
        f"```json\n{JSON_A} and more\n```",
        '```json\n{"name": "nope", "arguments": {}}\n```\nNow.',
        '```json\n{"path": "a.py"}\n```\nNow.',
        f"It is {JSON_A} that I would call.",
        "```json\n[]\n```",
    ],
)
def test_a_fence_without_a_whole_call_is_no_call(text: str) -> None:
    assert salvage(text, TOOLS) is None
