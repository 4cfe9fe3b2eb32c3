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
        question = prompts.render(
            "guided/repair",
            issue=clip(self._session.issue, _ISSUE_BYTES),
            test=shown,
            failure=clip(tests.failure, _FAILURE_BYTES),
            language=code_name(suspects[0].path),
            sites=[self._site(each) for each in suspects],
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
        key = (suspect.path, suspect.start)
        calls = self._recorded.calls
        passed = [t for t, s in self._recorded.report.statuses.items() if s == "passed"]
        bad = [c.text for c in calls.get(tests.tests[0], ()) if (c.path, c.line) == key]
        good = [c.text for t in passed for c in calls.get(t, ()) if (c.path, c.line) == key]
        return bad, [each for each in good if each not in bad][:2]
