"""Localisation without a model: what issues name, and what tests execute."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reapair.agent.guided.clues import Clues, Frame, nearest_path
from reapair.agent.guided.localise import MOST, Executed, localise
from reapair.tools.code.index import Indexed
from reapair.tools.code.languages import language_of
from reapair.tools.code.parsing import parse

FILES = {
    "src/shop/basket.py": (
        "from shop.money import rounded\n\n\nclass Basket:\n    def add(self, price):\n"
        "        self.prices.append(price)\n\n    def total(self):\n"
        "        result = 0\n        for price in self.prices:\n            result += price\n"
        "        return rounded(result)\n"
    ),
    "src/shop/money.py": (
        "def rounded(value):\n    if value < 0:\n        return -1\n"
        "    return round(value, 2)\n\n\n"
        "def shown(value):\n    def inner():\n        return value\n    return str(inner())\n"
    ),
    "tests/test_basket.py": "def test_total():\n    assert total() == 3\n",
}


def index(files: dict[str, str] = FILES) -> dict[str, Indexed]:
    found = {}
    for path, text in files.items():
        language = language_of(path)
        assert language
        found[path] = Indexed(
            json.dumps(parse("tags", text.encode(), language=language.grammar)).encode()
        )
    return found


def names(issue: str, **more: Any) -> list[str]:
    return [suspect.name for suspect in localise(index(), issue, **more)]


TRACEBACK = """It fails:

Traceback (most recent call last):
  File "/home/me/venv/site-packages/shop/basket.py", line 11, in total
    return rounded(result)
  File "/home/me/venv/site-packages/shop/money.py", line 4, in rounded
    return round(value, 2)
  File "/usr/lib/python3.11/numbers.py", line 4, in nothing
TypeError: type NoneType doesn't define __round__ method
"""


def test_the_last_frame_inside_the_project_comes_first() -> None:
    first, second = localise(index(), TRACEBACK)[:2]
    assert (first.path, first.name) == ("src/shop/money.py", "rounded")
    assert "in the issue's traceback" in first.reasons
    assert second.name == "Basket.total"
    assert Clues.of(TRACEBACK).exceptions == {"TypeError"}


def test_a_frame_is_found_by_its_function_where_lines_have_moved() -> None:
    text = TRACEBACK.replace("line 4, in rounded", "line 400, in rounded")
    assert names(text)[0] == "rounded"


def test_a_function_inside_another_is_shown_with_it() -> None:
    text = 'File "src/shop/money.py", line 9, in inner'
    assert names(text)[0] == "shown"


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ("src/a.py:12: in run\n", Frame("src/a.py", 12, "run")),
        ("    at run (/app/lib/a.js:3:7)", Frame("/app/lib/a.js", 3, "run ")),
        ("lib/a.go:9 +0x1d", Frame("lib/a.go", 9)),
        ('  File "a\\\\b.py", line 3, in <module>', Frame("a//b.py", 3, "<module>")),
    ],
)
def test_frames_are_read(text: str, frame: Frame) -> None:
    assert Clues.of(text).frames == (frame,)


def test_an_ambiguous_path_is_no_place() -> None:
    assert nearest_path("core.py", ["a/core.py", "b/core.py"]) is None
    assert nearest_path("/x/a/core.py", ["a/core.py", "b/core.py"]) == "a/core.py"
    assert nearest_path("core.py", ["core.py", "b/core.py"]) == "core.py"
    assert nearest_path("score.py", ["core.py"]) is None


def test_tests_are_named_by_id_or_name() -> None:
    clues = Clues.of("tests/test_a.py::test_one and test_two[x] fail")
    assert clues.names_test("tests/test_a.py::test_one[3]")
    assert clues.names_test("other/test_b.py::C::test_two")
    assert not clues.names_test("tests/test_a.py::test_three")


def lines(path: str, *numbers: int) -> dict[str, frozenset[int]]:
    return {path: frozenset(numbers)}


def test_what_failing_tests_alone_execute_comes_first() -> None:
    money = "src/shop/money.py"
    executed = Executed(
        {"t1": lines(money, 2, 3)},
        {f"p{n}": {**lines(money, 2, 4), **lines("src/shop/basket.py", 6)} for n in range(5)},
    )
    first = localise(index(), "The total is wrong.", executed)[0]
    assert first.name == "rounded"
    assert first.reasons[0] == "executed by the failing test"


def test_what_no_failing_test_executes_goes_back() -> None:
    issue = "`shown` is wrong"
    assert names(issue)[0] == "shown"
    executed = Executed({"t1": lines("src/shop/basket.py", 9, 10, 11, 12)}, {})
    assert names(issue, executed=executed)[0] == "Basket.total"


def test_tests_are_no_suspects_and_there_are_few() -> None:
    many = {f"m{n}.py": f"def total{n}():\n    pass\n" for n in range(40)}
    issue = " ".join(f"`total{n}`" for n in range(40)) + " tests/test_basket.py:2: in test_total"
    found = localise(index({**FILES, **many}), issue)
    assert len(found) == MOST
    assert all(suspect.path != "tests/test_basket.py" for suspect in found)
    assert found == localise(index({**FILES, **many}), issue)


def test_the_constructor_of_a_method_in_the_traceback_is_suspect() -> None:
    text = "class Mac:\n    def __init__(self, how):\n        self.how = how\n\n" + (
        "    def sign(self, value):\n        return self.how(value)\n"
    )
    issue = "File \"mac.py\", line 6, in sign\nTypeError: 'NoneType' object is not callable"
    found = [suspect.name for suspect in localise(index({"mac.py": text}), issue)]
    assert found == ["Mac.sign", "Mac.__init__"]
