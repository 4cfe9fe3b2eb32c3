from __future__ import annotations

import pytest
from pydantic import Field

from reapair.sandbox.base import Sandbox
from reapair.tools import Observation, Parameters, Tool, Toolbox, ToolError, schema


class EchoParameters(Parameters):
    """What `echo` takes."""

    text: str = Field(description="What to say.")
    times: int | None = Field(None, description="How often.")
    loud: bool = Field(False, description="In capitals.")


class Echo(Tool[EchoParameters]):
    name = "echo"
    description = "Say something."
    parameters = EchoParameters

    def run(self, arguments: EchoParameters, sandbox: Sandbox) -> Observation:
        if arguments.text == "no":
            raise ToolError("It does not want to.")
        text = arguments.text * (arguments.times or 1)
        return Observation(text.upper() if arguments.loud else text)


@pytest.fixture
def box(empty: Sandbox) -> Toolbox:
    return Toolbox([Echo()], lambda: empty)


def test_a_typed_class_is_a_tool() -> None:
    assert schema(Echo()) == {
        "type": "function",
        "function": {
            "name": "echo",
            "description": "Say something.",
            "parameters": {
                "type": "object",
                "properties": {
                    "text": {"type": "string", "description": "What to say."},
                    "times": {"type": "integer", "description": "How often."},
                    "loud": {"type": "boolean", "description": "In capitals."},
                },
                "required": ["text"],
            },
        },
    }


@pytest.mark.parametrize(
    ("name", "arguments", "text", "ok"),
    [
        ("echo", {"text": "a", "times": "3", "loud": True}, "AAA", True),
        ("echo", {"text": "a", "times": None}, "a", True),
        ("echo", {"text": "no"}, "It does not want to.", False),
        ("say", {}, "There is no tool 'say'. The tools are: echo.", False),
        (
            "echo",
            {"txt": "a"},
            "echo was not called: text: Field required; txt: Extra inputs are not permitted. "
            "It takes: text (string), times (integer), loud (boolean).",
            False,
        ),
        ("echo", {"text": "a\0"}, "echo was not called: text holds a zero byte.", False),
        ("echo", {"text": "\ud83d\ude00 \ud800"}, "\U0001f600 \ufffd", True),
    ],
)
def test_every_call_has_an_answer(
    box: Toolbox, name: str, arguments: dict[str, object], text: str, ok: bool
) -> None:
    observation = box.call(name, arguments)
    assert (observation.text, observation.ok) == (text, ok)
