from __future__ import annotations

import re
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from reapair.sandbox.base import Sandbox
from reapair.tools import Observation, Tool, Toolbox, ToolDefinitionError, ToolError, schema, tool


def look_up(word: str, most: int = 3, language: Literal["en", "de"] = "en") -> str:
    """Look a word up
    in the glossary.

    Args:
        word: What to look up,
            as it is written.
        most: Entries at most.
        language: Of the entries.

    Returns the entries.
    """
    return f"{word} {most} {language}"


def test_a_typed_function_is_a_tool(empty: Sandbox) -> None:
    made = tool(look_up)
    assert schema(made) == {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Look a word up in the glossary.",
            "parameters": {
                "type": "object",
                "properties": {
                    "word": {
                        "type": "string",
                        "description": "What to look up, as it is written.",
                    },
                    "most": {"type": "integer", "description": "Entries at most."},
                    "language": {
                        "type": "string",
                        "enum": ["en", "de"],
                        "description": "Of the entries.",
                    },
                },
                "required": ["word"],
            },
        },
    }
    box = Toolbox([made], lambda: empty)
    assert box.call("look_up", {"word": "a"}).text == "a 3 en"
    assert box.call("look_up", {"word": "a", "most": "5", "language": "de"}).text == "a 5 de"
    wrong = box.call("look_up", {"word": "a", "language": "fr"})
    assert not wrong.ok
    assert "language: Input should be 'en' or 'de'" in wrong.text


class MarkPlace(BaseModel):
    """Mark a place in the repository."""

    colour: str = Field("red", description="Of the mark.")
    path: str = Field(description="A file.")
    line: int = Field(1, description="A line, from 1.", ge=1)

    def run(self, sandbox: Sandbox) -> str:
        found = sandbox.exec(["ls", self.path]).ok
        return f"{self.colour} {self.path}:{self.line} {found}"


def test_a_model_with_run_is_a_tool(slug: Sandbox) -> None:
    made = tool(MarkPlace, changes_files=False)
    parameters = schema(made)["function"]["parameters"]
    assert (made.name, made.changes_files) == ("mark_place", False)
    assert list(parameters["properties"]) == ["path", "colour", "line"]
    assert parameters["required"] == ["path"]
    box = Toolbox([made], lambda: slug)
    called = box.call("mark_place", {"path": "slug/core.py", "line": 7})
    assert called.text == "red slug/core.py:7 True"
    wrong = box.call("mark_place", {"path": "a", "line": 0})
    assert "line: Input should be greater than or equal to 1" in wrong.text


def untyped(word) -> str:  # type: ignore[no-untyped-def]
    """Do."""
    return str(word)


def listing(names: list[str]) -> str:
    """Do.

    Args:
        names: Several.
    """
    return names[0]


def placed(place: MarkPlace) -> str:
    """Do.

    Args:
        place: Where.
    """
    return place.path


def either(what: int | str) -> str:
    """Do.

    Args:
        what: One.
    """
    return str(what)


def fraction(part: float) -> str:
    """Do.

    Args:
        part: Of it.
    """
    return str(part)


def silent(word: str) -> str:
    return word


def undescribed(word: str) -> str:
    """Do."""
    return word


def nothing() -> str:
    """Do."""
    return ""


def optional(word: str = "a") -> str:
    """Do.

    Args:
        word: One.
    """
    return word


def rest(*words: str) -> str:
    """Do."""
    return words[0]


class NoRun(BaseModel):
    """Do."""

    word: str = Field(description="One.")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (untyped, "word has no type. Annotate it"),
        (listing, "names has to be a string, an integer or a boolean"),
        (placed, "place has to be a string, an integer or a boolean"),
        (either, "what has to be a string, an integer or a boolean"),
        (fraction, "part has to be a string, an integer or a boolean"),
        (silent, "silent has no docstring"),
        (undescribed, "word has no description. Add a line for it under Args:"),
        (nothing, "no required parameter"),
        (optional, "no required parameter"),
        (rest, "takes *words. Name each parameter"),
        (lambda word: word, "has no type"),
        (NoRun, "NoRun has no method run"),
    ],
)
def test_what_cannot_be_a_tool_is_said(source: Any, words: str) -> None:
    with pytest.raises(ToolDefinitionError, match=re.escape(words)):
        tool(source)


def test_what_a_tool_gives_back_and_raises(empty: Sandbox) -> None:
    returned: dict[str, Any] = {
        "nothing": None,
        "facts": {"b": 1, "ä": [2]},
        "long": "word\n" * 10_000,
        "own": Observation("mine", ok=False, data={"a": 1}),
    }

    def give(what: str) -> Any:
        """Give.

        Args:
            what: Which one.
        """
        if what == "refuse":
            raise ToolError("Not today. Try tomorrow.")
        return returned[what]

    box = Toolbox([tool(give)], lambda: empty)
    assert box.call("give", {"what": "nothing"}).text == "Done."
    assert box.call("give", {"what": "facts"}).text == '{"b": 1, "ä": [2]}'
    assert len(box.call("give", {"what": "long"}).text) <= 12_000
    assert box.call("give", {"what": "own"}) == returned["own"]
    assert box.call("give", {"what": "refuse"}).text == "Not today. Try tomorrow."
    failed = box.call("give", {"what": "missing"})
    assert (failed.text, failed.ok) == (
        "give failed: KeyError: 'missing'\n"
        "Check the arguments. If they are right, go on without this tool.",
        False,
    )
    assert "Traceback" in failed.data["traceback"]


def test_names_are_there_once(empty: Sandbox) -> None:
    tools: list[Tool[Any]] = [tool(look_up), tool(look_up)]
    with pytest.raises(ToolDefinitionError, match="Two tools are called look_up"):
        Toolbox(tools, lambda: empty)
