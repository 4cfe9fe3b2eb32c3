"""The questions of the repair: one function, the test that shows the fault, and the values seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from reapair.agent.guided.recording import RECORDING_SECONDS, Recording, record
from reapair.agent.guided.views import Site, code_name, function_source, site_of
from reapair.tools import clip

if TYPE_CHECKING:
    from reapair.agent.guided.ledger import ShowingTests
    from reapair.agent.guided.localise import Suspect
    from reapair.agent.guided.trial import Trials
    from reapair.agent.loop.session import Session
    from reapair.tools.code.index import Indexed

_SHOWN_TESTS, _SHOWN_CALLS = 4, 3
_LEAST_TOKENS, _MOST_TOKENS = 400, 1_600
_ISSUE_BYTES, _FAILURE_BYTES = 8_000, 2_000


class RepairQuestions:
    """Words the questions about suspects.

    Args:
        session: the run at work.
        trials: reads files, and runs tests for the values.
        files: the index.
        suspects: whose values are recorded, all in one run.
        tests: those that show the fault.
    """

    def __init__(
        self,
        session: Session,
        trials: Trials,
        files: Mapping[str, Indexed],
        suspects: Sequence[Suspect],
        tests: ShowingTests,
    ) -> None:
        self._session = session
        self._prompts = session.prompts
        self._trials = trials
        self._files = files
        self._suspects = suspects
        self._tests = tests
        self._recorded: Recording | None = None

    def again(self, failure: str) -> str:
        """Return what is said when a candidate does not hold."""
        failure = clip(failure, _FAILURE_BYTES)
        return self._prompts.render("guided/again", failure=failure)

    def room(self, suspects: list[Suspect]) -> int:
        """Return the tokens that an answer may take: the functions, and a sentence."""
        size = sum(
            len("\n".join(self._trials.text(s.path).split("\n")[s.start - 1 : s.end]))
            for s in suspects
        )
        return min(_MOST_TOKENS, max(_LEAST_TOKENS, size // 2 + 200))

    def messages(self, suspects: list[Suspect]) -> list[dict[str, str]]:
        """Return the question about some functions."""
        tests, prompts = self._tests, self._prompts
        shown, path = "", ""
        if tests.tests:
            path = tests.tests[0].partition("::")[0]
            text = tests.files.get(path) or self._trials.text(path)
            shown = function_source(text, path, tests.tests[0])
        sites = [self._site(each) for each in suspects]
        question = prompts.render(
            "guided/repair",
            issue=clip(self._session.issue, _ISSUE_BYTES),
            test=shown,
            failure=clip(tests.failure, _FAILURE_BYTES),
            language=code_name(suspects[0].path),
            others=self._others(),
            sites=sites,
            documented=any('"""' in each.code or "'''" in each.code for each in sites),
        )
        return [
            {"role": "system", "content": prompts.render("guided/repair_system")},
            {"role": "user", "content": question},
        ]

    def _site(self, suspect: Suspect) -> Site:
        text, entry = self._trials.text(suspect.path), self._files.get(suspect.path)
        bad, good = self._values(suspect)
        return site_of(suspect, text, entry, bad, good)

    def _values(self, suspect: Suspect) -> tuple[list[str], list[str]]:
        """Return how a failing and passing tests call a function, as text."""
        tests = self._tests
        if "values" in self._session.settings.without or not tests.tests:
            return [], []
        if self._recorded is None:
            files = [tests.tests[0].partition("::")[0]]
            functions = [(each.path, each.start) for each in self._suspects]
            self._recorded = record(
                self._session.workspace.runner,
                self._trials.sandbox,
                files,
                RECORDING_SECONDS,
                functions,
            )
        return (
            self._calls(suspect, self._tests.tests[:_SHOWN_TESTS]),
            self._calls(suspect, self._recorded.report.having("passed"))[:_SHOWN_CALLS],
        )

    def _calls(self, suspect: Suspect, tests: Sequence[str]) -> list[str]:
        """Return the calls of a function in some tests, each of them once."""
        calls = self._recorded.calls if self._recorded else {}
        place = (suspect.path, suspect.start)
        found = [c.text for t in tests for c in calls.get(t, ()) if (c.path, c.line) == place]
        return list(dict.fromkeys(found))

    def _others(self) -> list[str]:
        """Return the assertions of further failing tests, a line each."""
        said = self._recorded.report.failures if self._recorded else {}
        lines = [
            row[1:].strip()
            for test in self._tests.tests[1:_SHOWN_TESTS]
            for row in said.get(test, "").split("\n")
            if row.startswith("E ")
        ]
        return list(dict.fromkeys(row for row in lines if "Error" in row or "assert" in row))[:3]
