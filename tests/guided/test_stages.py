"""Guided solving from end to end: real git, sandbox and tests; only the model is scripted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reapair.agent.log.event_log import Run, read_events
from reapair.agent.log.events import Event
from reapair.agent.result import ExitReason, Result, Verdict
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import resume, solve
from support.proved import FAST
from support.repositories import make_repository
from support.scripted_server import ScriptedServer
from support.tasks import turn

pytestmark = [pytest.mark.guided, pytest.mark.slow]

PRICES = '''"""Prices of a shop."""

TAX = 0.2


def with_tax(price):
    """Return a price with tax."""
    return round(price * (1 + TAX), 2)


class Basket:
    def __init__(self):
        self.prices = []

    def add(self, price):
        self.prices.append(price)

    def total(self):
        """Return the sum of all prices with tax."""
        return sum(with_tax(price) for price in self.prices[1:])

    def count(self):
        return len(self.prices)
'''

PASSING = """from prices import Basket, with_tax


def test_tax():
    assert with_tax(10) == 12


def test_count():
    basket = Basket()
    basket.add(1)
    assert basket.count() == 1


def test_nothing():
    assert Basket().total() == 0
"""

FAILING = """

def test_total():
    basket = Basket()
    basket.add(10)
    basket.add(20)
    assert basket.total() == 36
"""

ISSUE = "The total of a basket is too small: `Basket.total` seems to forget a price."
RIGHT = """The first price is left out.

```python
def total(self):
    return sum(with_tax(price) for price in self.prices)
```
"""
WRONG = """A price is counted twice.

```python
def total(self):
    return sum(with_tax(price) for price in self.prices[:-1])
```
"""


def repository(tmp_path: Path, tests: str = PASSING + FAILING) -> Path:
    return make_repository(tmp_path / "shop", {"prices.py": PRICES, "test_prices.py": tests})


def run(
    tmp_path: Path, turns: Any, issue: str = ISSUE, place: Path | None = None, **settings: Any
) -> tuple[Result, ScriptedServer]:
    dialect = settings.pop("dialect", "llama.cpp")
    model = settings.pop("model", "qwen-tiny")
    with ScriptedServer(turns, model=model, dialect=dialect) as server:
        chosen = Settings(
            base_url=server.base_url, runs=tmp_path / "runs", branch=False, sandbox="none",
            test_command=FAST,
            **{"strategy": "guided", **settings},
        )  # fmt: skip
        return solve(issue, place or repository(tmp_path), chosen), server


def events(result: Result, kind: str) -> list[dict[str, Any]]:
    assert result.directory
    return [event.data for event in read_events(result.directory) if event.kind == kind]


def say(text: str) -> dict[str, Any]:
    return {"content": text}


def test_one_right_answer_is_proved_with_one_request(tmp_path: Path) -> None:
    result, server = run(tmp_path, [say(RIGHT)])
    assert result.verdict is Verdict.PROVED
    assert result.exit_reason is ExitReason.SUBMITTED
    assert len(server.chats) == 1
    [shown] = result.evidence.reproduction
    assert (shown.test, shown.author) == ("test_prices.py::test_total", "existing")
    suspects = events(result, "suspects")[0]["suspects"]
    assert (suspects[0]["path"], suspects[0]["name"]) == ("prices.py", "Basket.total")
    asked = server.chats[0]["messages"][-1]["content"]
    assert "class Basket:" in asked
    assert "assert basket.total() == 36" in asked
    assert "returned 24" in asked
    assert not server.chats[0].get("tools")


def test_a_failing_candidate_is_asked_about_again_with_its_output(tmp_path: Path) -> None:
    result, server = run(tmp_path, [say(WRONG), say(RIGHT)])
    assert result.verdict is Verdict.PROVED
    again = server.chats[1]["messages"]
    assert [message["role"] for message in again] == ["system", "user", "assistant", "user"]
    assert "assert 12" in again[-1]["content"]
    assert [c["status"] for c in events(result, "candidate")] == ["fails", "passes"]


def test_the_issues_own_example_shows_the_fault(tmp_path: Path) -> None:
    issue = (
        "Tax is forgotten for a basket:\n\n```python\nfrom prices import Basket\n"
        "basket = Basket()\nbasket.add(10)\nbasket.total()  # should be 12.0\n```\n"
    )
    place = repository(tmp_path, PASSING)
    result, server = run(tmp_path, [say(RIGHT)], issue, place)
    assert events(result, "reproduction")[0]["author"] == "issue"
    assert [c["status"] for c in events(result, "candidate")] == ["passes"]
    assert events(result, "suspects")[0]["executed"]
    assert len(server.chats) == 1
    assert result.verdict in (Verdict.PROVED, Verdict.REGRESSION_FREE)
    assert "test_issue_example" not in result.patch


TEST = """```python
from prices import Basket


def test_issue_reproduction():
    basket = Basket()
    basket.add(10)
    assert basket.total() == 12
```"""


def test_a_test_is_asked_for_once_and_frozen_before_the_change(tmp_path: Path) -> None:
    result, server = run(tmp_path, [say(TEST), say(RIGHT)], place=repository(tmp_path, PASSING))
    [found] = events(result, "reproduction")
    assert (found["author"], len(server.chats)) == ("model", 2)
    assert result.files == ["prices.py", "test_issue_reproduction.py"]
    assert result.evidence.reproduction
    kinds = [e.kind for e in read_events(result.directory) if e.kind in ("tree", "candidate")]
    assert kinds[0] == "tree"


@pytest.mark.parametrize(
    "text",
    [
        "```python\ndef test_issue_reproduction():\n    assert nothing()\n```",
        "```python\nfrom prices import Bag\n\n\ndef test_it():\n    assert Bag()\n```",
        "```python\ndef test_it():\n    assert True\n```",
        "I can't.",
    ],
)
def test_a_test_that_fails_for_another_reason_is_not_taken(tmp_path: Path, text: str) -> None:
    turns = [say(text), say(RIGHT)]
    result, _ = run(tmp_path, turns, place=repository(tmp_path, PASSING), samples=1, repairs=0)
    assert events(result, "reproduction")[0]["author"] == "none"
    assert result.verdict is Verdict.REGRESSION_FREE


def test_a_model_that_can_do_nothing_ends_soon_with_what_was_found(tmp_path: Path) -> None:
    answers = [say("unchanged"), say("No idea."), say("```python\ndef nothing(\n```")]
    result, server = run(tmp_path, answers * 9, samples=2, repairs=1)
    assert (result.verdict, result.exit_reason) == (Verdict.EMPTY, ExitReason.NO_SUBMIT)
    assert len(server.chats) == 7
    assert {c["status"] for c in events(result, "candidate")} == {"unchanged", "no_code"}
    assert events(result, "chosen") == [
        {"candidate": None, "why": "no candidate passes the tests that show the fault."}
    ]


def test_the_same_change_is_tried_once(tmp_path: Path) -> None:
    other = WRONG.replace("    return", "    # Again.\n    return")
    turns = [say(WRONG), say(other), say(RIGHT)]
    result, _ = run(tmp_path, turns, repairs=2)
    assert [c["status"] for c in events(result, "candidate")][:2] == ["fails", "duplicate"]


class Killed(BaseException):
    """Takes the place of a kill: nothing of the run's own code comes after it."""


@pytest.mark.parametrize(
    "kind", ["reproduction", "suspects", "question", "answer", "candidate", "chosen", "tree"]
)
def test_a_run_goes_on_wherever_it_was_killed(tmp_path: Path, kind: str) -> None:
    def kill(event: Event) -> None:
        if event.kind == kind:
            raise Killed

    place = repository(tmp_path)
    with ScriptedServer([say(WRONG), say(RIGHT), say(RIGHT)], model="qwen-tiny") as server:
        settings = Settings(
            base_url=server.base_url, runs=tmp_path / "runs", branch=False, sandbox="none",
            test_command=FAST, strategy="guided", without=["values"],
        )  # fmt: skip
        with pytest.raises(Killed):
            solve(ISSUE, place, settings, on_event=kill)
        [directory] = (tmp_path / "runs").iterdir()
        before = [event.kind for event in read_events(directory)]
        result = resume(Run(directory, directory.name))
        asked = len(server.chats)
    assert before[-1] == kind
    assert result.verdict is Verdict.PROVED
    kinds = [event.kind for event in read_events(directory)]
    assert [kinds.count(each) for each in ("reproduction", "suspects", "chosen")] == [1, 1, 1]
    numbers = [data["number"] for data in events(result, "question")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert asked == len(events(result, "answer"))
    # What was answered before is not asked again, and what was tried is not tried again.
    assert len(events(result, "candidate")) == 2


def test_auto_lets_a_model_that_calls_decide_where_no_test_shows_the_fault(tmp_path: Path) -> None:
    edit = turn("edit", path="prices.py", old_str="self.prices[1:]", new_str="self.prices")
    submit = turn("submit", summary="Done.")
    issue = "The total of a basket forgets a price, see `Basket.total`."
    result, server = run(
        tmp_path, [edit, submit, submit], issue, repository(tmp_path, PASSING),
        strategy="auto", model="glm-4.7-flash",
    )  # fmt: skip
    assert result.verdict is Verdict.REGRESSION_FREE
    assert len(server.chats) == 3
    assert not events(result, "question")
    assert "prices.py:18 Basket.total" in server.chats[0]["messages"][1]["content"]


def test_auto_tells_the_loop_what_was_tried(tmp_path: Path) -> None:
    edit = turn("edit", path="prices.py", old_str="self.prices[1:]", new_str="self.prices")
    submit = turn("submit", summary="Done.")
    turns = [say(WRONG), *[say("unchanged")] * 3, edit, submit, submit]
    result, server = run(tmp_path, turns, strategy="auto", model="glm-4.7-flash", repairs=0)
    assert result.verdict is Verdict.PROVED
    assert len(server.chats) == 7
    first = server.chats[4]["messages"][1]["content"]
    assert "self.prices[:-1]" in first
    assert "did not hold (fails)" in first
    assert "test_prices.py::test_total" in first


def test_a_model_without_calls_is_seen_once_and_guided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    turns = [say("Read greet.py."), say(RIGHT)]
    # Without the template of a family that is known to make calls.
    result, server = run(tmp_path, turns, strategy="auto", dialect="vllm")
    assert result.verdict is Verdict.PROVED
    assert [bool(chat.get("tools")) for chat in server.chats] == [True, False]
    kept = list((tmp_path / "cache/agent/capabilities").iterdir())
    assert [json.loads(file.read_text())["makes_calls"] for file in kept] == [False]


def test_a_guided_run_is_continued_with_tools(tmp_path: Path) -> None:
    edit = turn("edit", path="prices.py", old_str="TAX = 0.2", new_str="TAX = 0.2  # VAT")
    submit = turn("submit", summary="Done.")
    with ScriptedServer([say(RIGHT), edit, submit, submit], model="qwen-tiny") as server:
        settings = Settings(
            base_url=server.base_url, runs=tmp_path / "runs", branch=False, sandbox="none",
            test_command=FAST, strategy="guided",
        )  # fmt: skip
        first = solve(ISSUE, repository(tmp_path), settings)
        result = resume(Run(first.directory, first.run_id), instruction="Say what TAX is.")
        asked = server.chats[1]["messages"]
    assert [message["role"] for message in asked] == ["system", "user", "user"]
    assert "Basket.total" in asked[1]["content"]
    assert asked[2]["content"] == "Say what TAX is."
    assert result.verdict is Verdict.PROVED
    assert "# VAT" in result.patch
    assert "self.prices)" in result.patch


def test_questions_are_asked_side_by_side_where_the_server_has_slots(tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        asked = body["messages"][-1]["content"]
        return say(RIGHT if "What is wrong with Basket.total" in asked else "unchanged")

    with ScriptedServer(answer, model="qwen-tiny", slots=3, seconds=1.0) as server:
        settings = Settings(
            base_url=server.base_url, runs=tmp_path / "runs", branch=False, sandbox="none",
            test_command=FAST, strategy="guided", samples=2,
        )  # fmt: skip
        result = solve(ISSUE, repository(tmp_path), settings)
    assert result.verdict is Verdict.PROVED
    questions = [e for e in read_events(result.directory) if e.kind in ("question", "answer")]
    assert [event.kind for event in questions] == ["question"] * 3 + ["answer"] * 3
    assert events(result, "candidate")[0]["status"] == "passes"


def test_a_server_that_fails_is_named_and_asked_again_on_resume(tmp_path: Path) -> None:
    turns = [{"fault": "unauthorized"}, say(RIGHT)]
    with ScriptedServer(turns, model="qwen-tiny") as server:
        settings = Settings(
            base_url=server.base_url, runs=tmp_path / "runs", branch=False, sandbox="none",
            test_command=FAST, strategy="guided",
        )  # fmt: skip
        first = solve(ISSUE, repository(tmp_path), settings)
        assert first.exit_reason is ExitReason.MODEL_ERROR
        assert "API Key" in first.error
        result = resume(Run(first.directory, first.run_id))
        assert len(server.chats) == 2
    assert result.verdict is Verdict.PROVED
    assert len(events(result, "suspects")) == 1


def test_a_model_that_could_decide_is_asked_four_times_at_most(tmp_path: Path) -> None:
    submit = turn("submit", summary="Nothing.")
    wrong = [say(WRONG.replace("[:-1]", f"[{n}:]")) for n in range(2, 6)]
    _, server = run(
        tmp_path, [*wrong, *[submit] * 9], strategy="auto", model="glm-4.7-flash", max_steps=1
    )
    assert [bool(chat.get("tools")) for chat in server.chats] == [False] * 4 + [True]
