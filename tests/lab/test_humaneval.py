"""Small problems are asked once each and judged by running them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from reapair.agent.lab.evaluate.humaneval import program, run_problems
from reapair.agent.settings.settings import Settings
from support.scripted_server import ScriptedServer

PROMPT = 'from typing import List\n\n\ndef total(v: List[int]) -> int:\n    """Sum."""\n'
TEST = "def check(candidate):\n    assert candidate([1, 2]) == 3\n    assert candidate([]) == 0\n"
PROBLEM = {"task_id": "T/0", "prompt": PROMPT, "entry_point": "total", "test": TEST}
RIGHT = """Here:
```python
from typing import List


def total(v: List[int]) -> int:
    return sum(v)
```"""


def test_answers_are_run_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contents = {
        "T/0": RIGHT,
        "T/1": RIGHT.replace("sum(v)", "sum(v) + 1"),
        "T/2": "```python\n    return sum(v)\n```",
        "T/3": "```python\nimport sys\nsys.exit(0)\ndef total(v): ...\n```",
        "T/4": "I do not know.",
        "T/5": RIGHT,
    }
    plus = {
        "canonical_solution": "    return sum(v)\n",
        "base_input": [[[1, 2]]],
        "plus_input": [[[5, 5]], [[]]],
    }
    problems = [PROBLEM | {"task_id": name} for name in contents]
    problems[5] = {**problems[5], **plus, "test": None}
    file = tmp_path / "problems.jsonl.gz"
    with gzip.open(file, "wt") as lines:
        lines.writelines(json.dumps(each) + "\n" for each in problems)
    turns = [{"content": content} for content in contents.values()]
    with ScriptedServer(turns) as server:
        settings = Settings(base_url=server.base_url, sandbox="none")
        results = run_problems(file, settings)
        assert PROMPT.strip() in server.chats[0]["messages"][0]["content"]
        assert len(server.chats[0]["messages"]) == 1
    assert [each.passed for each in results] == [True, False, True, False, False, True]
    said = capsys.readouterr().out
    assert "3 of 6 passed, 50.0 %" in said
    assert "94.5" in said


def test_a_program_ends_with_its_checks() -> None:
    text = program(PROBLEM, RIGHT)
    assert text.startswith("from typing import List\n")
    assert text.index("return sum(v)") < text.index("def check") < text.index("check(total)")
