"""The issue's own example as a test: what is taken, what is left, and that it runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reapair.agent.proof.issue_example import Example, as_test, examples, issue_test, module_of
from reapair.sandbox import Sandbox
from reapair.sandbox.host.no_sandbox import NoSandbox


def stated(text: str) -> tuple[str, str, str]:
    """Return call, value and exception of the only example that an issue states."""
    [found] = examples(text)
    assert found.stated
    return found.call, found.expected, found.raises


@pytest.mark.parametrize(
    ("issue", "wanted"),
    [
        ("mean([2, 4]) returns 6.0 instead of 3", ("mean([2, 4])", "3", "")),
        ("`mean([2, 4])` returns `6.0`, expected `3.0`.", ("mean([2, 4])", "3.0", "")),
        ("slug('a, b') gives 'a--b'. It should be 'a-b'.", ("slug('a, b')", "'a-b'", "")),
        ("`clamp(5, 0, 3)` must return 3 but returns 5", ("clamp(5, 0, 3)", "3", "")),
        ("first([]) should raise a ValueError, not return", ("first([])", "", "ValueError")),
        ("```\nf(3)\n```\nExpected: `[1, 2]`\nActual: 5", ("f(3)", "[1, 2]", "")),
        ("```python\nprint(f(3))  # prints 5, should be 4\n```", ("f(3)", "4", "")),
        (">>> f(3)\n5  # expected 4\n", ("f(3)", "4", "")),
        ("```\n>>> f(3)\n5\n```\nI expected 4.", ("f(3)", "4", "")),
    ],
)
def test_what_an_issue_states_is_taken(issue: str, wanted: tuple[str, str, str]) -> None:
    assert stated(issue) == wanted


@pytest.mark.parametrize(
    "issue",
    [
        "mean() is too large: mean([2, 4]) gives 6.0 and mean([1]) fails",
        "f(3) returns 4. The manual should be 3 pages long.",
        "Names with no items left are still listed.",
        "The button should be blue.",
        "",
    ],
)
def test_what_states_no_result_is_left(issue: str) -> None:
    assert examples(issue) == []


def test_a_session_may_show_the_bug_itself() -> None:
    first, second = examples(">>> s = Store()\n>>> s.total()\n3\n>>> s.names()\n['nut']\n")
    assert (first.setup, first.call, first.expected) == ("s = Store()\n", "s.total()", "3")
    assert second.setup.endswith("s.total()\n")
    assert not first.stated


def test_a_traceback_says_what_must_not_come() -> None:
    issue = (
        'Traceback (most recent call last):\n  File "x.py", line 3, in <module>\n    parse("a")\n'
        '  File "p.py", line 9, in parse\n    x[0]\nIndexError: list index out of range\n'
    )
    assert examples(issue) == [Example(call='parse("a")', forbidden="IndexError", stated=False)]
    assert examples(issue)[0].weak


def test_hostile_text_gives_nothing() -> None:
    for text in (
        "f(" * 20_000,
        ">>> " + "(" * 5_000,
        "```\n" + "`" * 9_000,
        "f(1) expected " * 999,
    ):
        assert len(examples(text)) <= 8


def test_an_example_with_unknown_names_is_left_out() -> None:
    found = examples("f(3) should be 4. g(1) should be 2.")
    source = as_test(found, lambda name: "package.module" if name == "g" else "")
    assert "from package.module import g" in source
    assert "f(3)" not in source


def test_packages_end_where_there_is_no_init() -> None:
    files = {"src/a/__init__.py", "src/a/b.py"}
    assert module_of("src/a/b.py", files) == "a.b"
    assert module_of("src/a/__init__.py", files) == "a"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    files = {
        "src/sums/__init__.py": "from sums.means import mean\n",
        "src/sums/means.py": "def mean(values):\n    return sum(values) / (len(values) - 1)\n",
        "tests/test_means.py": "def mean():\n    pass\n",
    }
    with NoSandbox("test") as started:
        for name, text in files.items():
            started.write(name, text.encode())
        assert started.exec("git init -q && git add -A").ok
        yield started


def test_the_test_runs_and_shows_the_bug(sandbox: Sandbox) -> None:
    source = issue_test("mean([2, 4]) returns 6.0 instead of 3", sandbox)
    assert "from sums.means import mean" in source
    sandbox.write("test_issue_example.py", source.encode())
    command = "PYTHONPATH=src python3 -m unittest test_issue_example"
    failing = sandbox.exec(command)
    assert b"AssertionError: 6.0 != 3" in failing.stderr
    sandbox.exec("sed -i 's/(len(values) - 1)/len(values)/' src/sums/means.py")
    assert sandbox.exec(command).ok
