"""The choice between attempts: order, agreement by syntax tree, cross-checks in real sandboxes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from reapair.agent.attempts.selection import Entry, changed_lines, choose, is_good_enough, substance
from reapair.agent.log.event_log import Run
from reapair.agent.result import Evidence, ExitReason, Reproduction, Result, Verdict
from reapair.agent.settings.settings import Settings
from reapair.agent.workspace.workspace import Workspace
from reapair.sandbox.git.repository import GitStore
from support.tasks import Task, own_tasks

DIVISOR = "(len(values) - 1)"


@pytest.fixture
def calc(tmp_path: Path) -> Task:
    return own_tasks(tmp_path / "tasks")[0]


@pytest.fixture
def workspace(calc: Task, tmp_path: Path) -> Workspace:
    run = Run(tmp_path / "run", "run")
    settings = Settings(sandbox="none", setup_command="true", test_command="true")
    return Workspace(run, settings, calc.repository)


def patched(task: Task, *edits: tuple[str, str, str]) -> bytes:
    """Return edits as a patch; the repository is left as it was."""
    for path, old, new in edits:
        file = task.repository / path
        text = file.read_text() if file.exists() else ""
        file.write_text(text.replace(old, new) if old else new)

    def git(*arguments: str) -> bytes:
        return subprocess.run(
            ["git", *arguments], cwd=task.repository, capture_output=True, check=True
        ).stdout

    git("add", "-A")
    made = git("diff", "--cached")
    git("reset", "-q", "--hard")
    return made


def entry(number: int, verdict: Verdict, patch: bytes = b"", test: str = "", **facts: str) -> Entry:
    shown = [Reproduction(test=test, author="model", before="failed", after="passed")]
    evidence = Evidence(verdict=verdict, reproduction=shown if test else [])
    reason = ExitReason(facts.get("exit_reason", ExitReason.SUBMITTED))
    result = Result(
        run_id=f"run.{number}", directory=Path("none"), exit_reason=reason, evidence=evidence
    )
    return Entry(number, result, patch)


def store_of(workspace: Workspace, task: Task, tmp_path: Path) -> GitStore:
    workspace.prepare(lambda _: None)
    return GitStore(tmp_path / "run/store", task.repository)


def test_the_verdict_comes_first(calc: Task, workspace: Workspace, tmp_path: Path) -> None:
    store = store_of(workspace, calc, tmp_path)
    small = patched(calc, ("calc.py", DIVISOR, "len(values)"))
    large = patched(calc, ("calc.py", DIVISOR, "len(values)  # all of them"), ("a.py", "", "A\n"))
    entries = [
        entry(1, Verdict.REFUTED, small),
        entry(2, Verdict.REGRESSION_FREE, small),
        entry(3, Verdict.PROVED, large),
        entry(4, Verdict.UNPROVED, small),
    ]
    choice = choose(entries, workspace, store, seconds=60)
    assert choice.attempt == 3
    assert choice.why == "Attempt 3 alone is proved; the next best is regression_free."
    assert [each.attempt for each in choice.candidates] == [1, 2, 3, 4]


def test_agreement_then_smallness_then_number(
    calc: Task, workspace: Workspace, tmp_path: Path
) -> None:
    store = store_of(workspace, calc, tmp_path)
    plain = patched(calc, ("calc.py", DIVISOR, "len(values)"))
    commented = patched(
        calc, ("calc.py", DIVISOR, "len(  values )  # every value"), ("calc.py", "mean;", "mean:")
    )
    other = patched(calc, ("calc.py", f"sum(values) / {DIVISOR}", "float(values[0])"))
    free = Verdict.REGRESSION_FREE
    entries = [entry(1, free, other), entry(2, free, commented), entry(3, free, plain)]
    agreed = choose(entries, workspace, store, seconds=60)
    assert agreed.attempt == 3
    assert agreed.candidates[1].agreeing == 2
    assert "smallest" in agreed.why
    agreed = choose([*entries[:2], entry(3, free, commented)], workspace, store, seconds=60)
    assert agreed.attempt == 2
    assert "alike" in agreed.why
    agreed = choose([entries[0], entry(2, free, plain), entries[2]], workspace, store, seconds=60)
    assert agreed.attempt == 2
    two = choose([entries[0], entries[2]], workspace, store, seconds=60)
    assert two.attempt == 1
    assert "first" in two.why


def test_substance(calc: Task, workspace: Workspace, tmp_path: Path) -> None:
    store = store_of(workspace, calc, tmp_path)

    def of(*edits: tuple[str, str, str]) -> str:
        return substance(store, workspace.snapshot.tree, patched(calc, *edits))

    plain = of(("calc.py", DIVISOR, "len(values)"))
    assert plain == of(("calc.py", DIVISOR, "(len(values))"))
    assert plain == of(("calc.py", DIVISOR, "len(values)"), ("calc.py", "Return the", "Give the"))
    assert plain != of(("calc.py", DIVISOR, "len(values) + 0"))
    assert plain != of(("calc.py", DIVISOR, "len(values)"), ("b.py", "", "B = 1\n"))
    assert of(("a.js", "", "let a = 1;\n")) == of(("a.js", "", "let  a =\n1;\n"))
    assert of(("a.js", "", "let a = 1;\n")) != of(("a.js", "", "let a = 2;\n"))
    broken = of(("calc.py", DIVISOR, "len(values"))
    assert broken not in (plain, "")
    deep = of(("deep.py", "", "(" * 3000 + ")" * 3000))
    assert deep != plain


def test_small_and_proved_is_good_enough(calc: Task) -> None:
    fix = ("calc.py", DIVISOR, "len(values)")
    tests = ("test_more.py", "", "def test():\n    pass\n" * 200)
    padding = ("notes.py", "", "A = 1\n" * 101)
    assert changed_lines(patched(calc, fix, tests)) == 2
    assert is_good_enough(Verdict.PROVED, patched(calc, fix, tests))
    assert not is_good_enough(Verdict.PROVED, patched(calc, fix, padding))
    assert not is_good_enough(Verdict.REGRESSION_FREE, patched(calc, fix))


def test_what_was_ended_is_never_taken(calc: Task, workspace: Workspace, tmp_path: Path) -> None:
    store = store_of(workspace, calc, tmp_path)
    patch = patched(calc, ("calc.py", DIVISOR, "len(values)"))
    ended = entry(1, Verdict.PROVED, patch, exit_reason=ExitReason.SUPERSEDED)
    choice = choose([ended, entry(2, Verdict.PROVED, patch)], workspace, store, seconds=60)
    assert choice.attempt == 2
    assert "the others were ended" in choice.why


def proved(task: Task, number: int, divisor: str, assertion: str) -> Entry:
    """Return an attempt that changes the divisor and shows it by a test of its own."""
    test = f"from calc import mean\n\n\ndef test_it():\n    assert {assertion}\n"
    name = f"test_{number}.py"
    patch = patched(task, ("calc.py", DIVISOR, divisor), (name, "", test))
    return entry(number, Verdict.PROVED, patch, f"{name}::test_it")


@pytest.mark.engine
def test_the_tests_of_the_others_decide(calc: Task, tmp_path: Path) -> None:
    workspace = Workspace(Run(tmp_path / "run", "run"), Settings(), calc.repository)
    workspace.prepare(lambda _: None)
    store = GitStore(tmp_path / "run/store", calc.repository)
    wrong = proved(calc, 1, "2", "mean([2, 4]) == 3")
    right = proved(calc, 2, "len(values)", "mean([3]) == 3 and mean([1, 2, 3]) == 2")
    try:
        choice = choose([wrong, right], workspace, store, seconds=300)
        scores = [(each.cross_passed, each.cross_total) for each in choice.candidates]
        assert scores == [(0, 1), (1, 1)]
        assert choice.attempt == 2
        assert "passes most tests of the others: 1 of 1" in choice.why
        # Without time nothing is run, and nobody is the worse for it.
        assert choose([wrong, right], workspace, store, seconds=0).candidates[0].cross_total == 0
    finally:
        workspace.close()
