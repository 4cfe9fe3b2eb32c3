"""Tests that show the fault before anything is changed: found, harvested, or asked for once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from reapair.agent.guided.answers import read_answer
from reapair.agent.guided.clues import Clues
from reapair.agent.guided.ledger import Asked, Author, ShowingTests
from reapair.agent.guided.views import code_name, function_source, site_of
from reapair.agent.proof.issue_example import FILE, issue_test, module_of
from reapair.agent.proof.suites import FAILING
from reapair.tools import is_test_file
from reapair.tools.code.hints import Hints
from reapair.tools.python_source import is_python, parse_python

if TYPE_CHECKING:
    from reapair.agent.guided.asking import Questions
    from reapair.agent.guided.localise import Suspect
    from reapair.agent.guided.trial import Trials
    from reapair.agent.loop.session import Session
    from reapair.tools import TestReport
    from reapair.tools.code.index import Indexed

MOST_TESTS = 40
"""Failing tests from which on they are taken for the environment's fault, not the issue's."""

_ANSWER_TOKENS = 700
_SECONDS = 120.0
_SHORT = 15
_ERROR = re.compile(r"^E\s+(?:[\w.]*\.)?(\w+)(?::|$)", re.MULTILINE)
_OWN_FAULTS = ("NameError", "ImportError", "ModuleNotFoundError", "SyntaxError", "fixture")
_NAME = "test_issue_reproduction"


def existing_tests(issue: str, named: Sequence[str], baseline: TestReport) -> ShowingTests | None:
    """Return the failing tests of the repository that the issue is about; None for none.

    Tests that the user names come first, then those that the issue names, then those whose failure
    speaks of the same names as the issue.
    """
    failing = baseline.having(*FAILING)
    ways: tuple[tuple[Author, list[str], str], ...] = (
        ("named", _named(named, failing), "named by the user."),
        ("existing", _named_in(issue, failing), "named in the issue, and failing."),
        ("existing", _related(issue, failing, baseline), "failing, and about the same names."),
    )
    for author, chosen, why in ways:
        if chosen:
            said = next((baseline.failures[t] for t in chosen if t in baseline.failures), "")
            return ShowingTests(author, tuple(chosen[:MOST_TESTS]), {}, said, why)
    return None


def _named(named: Sequence[str], failing: Sequence[str]) -> list[str]:
    return [
        test
        for test in failing
        if any(test == n or test.startswith((f"{n}::", f"{n}[", f"{n}.")) for n in named)
    ]


def _named_in(issue: str, failing: Sequence[str]) -> list[str]:
    clues = Clues.of(issue)
    named = [test for test in failing if clues.names_test(test)]
    # The one that the issue shows comes first: questions show it, too.
    return sorted(named, key=lambda test: test not in clues.tests)


def _related(issue: str, failing: Sequence[str], baseline: TestReport) -> list[str]:
    """Return failing tests that share the most names with the issue, unless all of them do not."""
    if len(failing) > MOST_TESTS:
        return []
    hints = Hints.of(issue)
    wanted = {name.lower() for name in hints.code}
    scores = Counter(
        {
            test: len(wanted & _words(f"{test} {baseline.failures.get(test, '')}"))
            for test in failing
        }
    )
    best = max(scores.values(), default=0)
    return [test for test in failing if best and scores[test] * 2 >= best]


def _words(text: str) -> set[str]:
    names = re.findall(r"[A-Za-z_]\w+", text.lower())
    return {part for name in names for part in (name, name.removeprefix("test_"))}


def by_example(session: Session, trials: Trials) -> ShowingTests | None:
    """Return the issue's own example as a test, if it fails on the untouched code."""
    text = issue_test(session.issue, trials.sandbox)
    if not text:
        return None
    path = _place(session.workspace.prepared.project, FILE)
    failing, said = _failing(session, trials, path, text)
    if not failing:
        return None
    return ShowingTests(
        "issue", tuple(failing), {path: text}, said, "the issue's own example fails."
    )


def by_question(
    session: Session,
    trials: Trials,
    questions: Questions,
    suspects: Sequence[Suspect],
    files: Mapping[str, Indexed],
) -> ShowingTests | None:
    """Ask once for a test, and return it if it fails for the issue's reason."""
    if not suspects or not is_python(suspects[0].path):
        return None
    asked = Asked("reproduce", (suspects[0].place,), _messages(session, trials, suspects, files))
    answer = questions.ask([asked], _ANSWER_TOKENS)[0]
    written = read_answer(answer["content"], whole=answer["finish_reason"] != "length")
    path = _place(_folder_of_tests(files, session.workspace.prepared.project), f"{_NAME}.py")
    for block in written.blocks:
        failing, said = _failing(session, trials, path, block)
        if failing and _right_reason(session.issue, said):
            why = "written by the model; it fails as the issue says."
            return ShowingTests("model", tuple(failing), {path: block}, said, why)
    return None


def _messages(
    session: Session,
    trials: Trials,
    suspects: Sequence[Suspect],
    files: Mapping[str, Indexed],
) -> list[dict[str, str]]:
    chosen = suspects[:2]
    sites = [
        {
            "path": each.path,
            "code": site_of(each, trials.text(each.path), files.get(each.path)).code,
            "module": module_of(each.path.removeprefix("src/"), set(files)),
        }
        for each in chosen
    ]
    path, example = _sample(trials, files)
    question = session.prompts.render(
        "guided/reproduce",
        issue=session.issue,
        sites=sites,
        language=code_name(suspects[0].path),
        example=example,
        example_path=path,
        name=_NAME,
    )
    return [
        {"role": "system", "content": session.prompts.render("guided/reproduce_system")},
        {"role": "user", "content": question},
    ]


def _sample(trials: Trials, files: Mapping[str, Indexed]) -> tuple[str, str]:
    """Return a short test of the repository to show what its tests look like."""
    for path in files:
        if is_test_file(path) and is_python(path):
            text = trials.text(path)
            for definition in files[path].definitions:
                if definition.short.startswith("test") and definition.end - definition.start < 15:
                    imports = [
                        row for row in text.split("\n")[:40] if row.startswith(("import ", "from "))
                    ]
                    source = function_source(text, path, definition.short)
                    return path, "\n".join([*imports[:8], "", "", source])
    return "", ""


def _failing(session: Session, trials: Trials, path: str, text: str) -> tuple[list[str], str]:
    """Return which tests of a file of ours fail on the untouched code, and what they say."""
    try:
        parse_python(text)
    except SyntaxError:
        return [], ""
    trials.sandbox.write(path, text.encode())
    try:
        report = session.workspace.runner.run(trials.sandbox, path, _SECONDS)
    finally:
        trials.sandbox.exec(["rm", "-f", path])
    failing = report.having("failed")
    said = next((report.failures[test] for test in failing if test in report.failures), "")
    return failing, said


def _right_reason(issue: str, failure: str) -> bool:
    """Return whether a failure is an assertion's, or of an exception that the issue names."""
    errors = set(_ERROR.findall(failure))
    named = Clues.of(issue).exceptions
    if errors & (named | {"AssertionError", "Failed"}) or "DID NOT RAISE" in failure:
        return True
    return bool(re.search(r"^E\s+assert\b", failure, re.MULTILINE)) and not any(
        fault in failure for fault in _OWN_FAULTS
    )


def _folder_of_tests(files: Mapping[str, Indexed], project: str) -> str:
    """Return the folder that most of the test files lie in."""
    folders = Counter(
        path.rpartition("/")[0]
        for path in files
        if is_python(path) and re.match(r"test_|.*_test\.py$", path.rpartition("/")[2])
    )
    return folders.most_common(1)[0][0] if folders else project


def _place(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
