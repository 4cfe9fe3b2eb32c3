"""The stages of guided solving, as nodes of a run's graph.

localise ─► reproduce ─► repair ─► choose ─► finish, or the loop with all that is known

Each looks into the log for what is done already, so that it may run again after a crash.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from reapair.agent.guided import reproduce
from reapair.agent.guided.asking import Questions, ServerFault
from reapair.agent.guided.candidates import Candidates, best_of
from reapair.agent.guided.ledger import Asked, Ledger, ShowingTests
from reapair.agent.guided.localise import Executed, Suspect, localise
from reapair.agent.guided.recording import RECORDING_SECONDS, record
from reapair.agent.guided.repair_questions import RepairQuestions
from reapair.agent.guided.trial import Trials
from reapair.agent.guided.views import LONGEST
from reapair.agent.proof.suites import MOST_FILES
from reapair.agent.result import ExitReason, Verdict
from reapair.tools import clip

if TYPE_CHECKING:
    from reapair.agent.loop.session import Session
    from reapair.agent.loop.state import State
    from reapair.agent.result import Evidence
    from reapair.tools.code.index import Indexed

BASELINE_SECONDS = 120.0
"""Longest that is waited for the suite on the untouched code: a large one may take half an hour."""

STRONG_QUESTIONS = 4
"""Questions at most where the model could drive the loop instead."""

PROOFS = 3
_GOOD = (Verdict.PROVED, Verdict.SHOWN)
_RANKS = (*_GOOD, Verdict.REGRESSION_FREE, Verdict.UNPROVED, Verdict.REFUTED, Verdict.EMPTY)
_TELLING = 0.5
"""Score from which a suspect is worth the loop's attention."""


class Stages:
    """The nodes over one session.

    Args:
        session: the run at work.
        prove: returns the evidence for a patch, and logs it.
    """

    def __init__(self, session: Session, prove: Callable[[bytes, int], Evidence]) -> None:
        self._session = session
        self._prove = prove
        self._ledger = Ledger(session.run)
        self._questions = Questions(session, self._ledger)
        self._settings = session.settings

    @property
    def nodes(self) -> dict[str, Callable[[State], State]]:
        """The nodes by name, in their order."""
        return {
            "localise": self.localise,
            "reproduce": self._or_end(self.reproduce),
            "repair": self._or_end(self.repair),
            "choose": self.choose,
        }

    def _or_end(self, node: Callable[[State], State]) -> Callable[[State], State]:
        """Return a node that ends the run where the server does not answer."""

        def run(state: State) -> State:
            try:
                return node(state)
            except ServerFault as fault:
                return {
                    "next": "verify",
                    "exit_reason": ExitReason.MODEL_ERROR,
                    "error": str(fault),
                    "submission": None,
                }

        return run

    @property
    def _files(self) -> Mapping[str, Indexed]:
        found = self._session.workspace.ready.map
        return found.files if found else {}

    @cached_property
    def _trials(self) -> Trials:
        tests = self._ledger.tests or ShowingTests()
        own = {path: text.encode() for path, text in tests.files.items()}
        return Trials(self._session.workspace, tests.tests, own, self._baseline)

    @cached_property
    def _baseline(self) -> Any:
        self._session.say("localise", "waiting for the baseline")
        return self._session.workspace.baseline(BASELINE_SECONDS)

    @cached_property
    def _candidates(self) -> Candidates:
        return Candidates(self._ledger, self._trials)

    @cached_property
    def _repair(self) -> RepairQuestions:
        tests = self._ledger.tests or ShowingTests()
        suspects = self._ledger.suspects or []
        return RepairQuestions(self._session, self._trials, self._files, suspects, tests)

    def localise(self, state: State) -> State:  # noqa: ARG002
        """Find the functions that may hold the fault, and tests that show it, without the model."""
        self._session.cancel.check()
        if self._ledger.suspects is None:
            if self._ledger.tests is None and (found := self._independent_tests()):
                self._ledger.note_tests(found)
                self._forget_trials()
            self._localise()
        return {"next": "reproduce"}

    def _independent_tests(self) -> ShowingTests | None:
        session, found = self._session, None
        if "reproduction" in self._settings.without:
            return None
        if baseline := self._baseline:
            named = session.workspace.named_tests
            found = reproduce.existing_tests(session.issue, named, baseline)
        return found or reproduce.by_example(session, self._trials)

    def _localise(self) -> None:
        began = time.monotonic()
        tests = self._ledger.tests
        executed, failures = None, []
        if tests and tests.tests:
            failures = [tests.failure]
            if "execution" not in self._settings.without:
                self._session.say("localise", "recording what the failing tests execute")
                executed, failures = self._execute(tests)
        found = localise(self._files, self._session.issue, executed, failures)
        seconds = time.monotonic() - began
        self._ledger.note_suspects(found, executed=bool(executed), seconds=seconds)

    def _execute(self, tests: ShowingTests) -> tuple[Executed | None, list[str]]:
        """Run the failing tests' files under the recorder of executed lines."""
        trials = self._trials
        files = sorted({test.partition("::")[0] for test in tests.tests})[:MOST_FILES]
        runner = self._session.workspace.runner
        recording = record(runner, trials.sandbox, files, RECORDING_SECONDS)
        if tests.files:  # Our own file has no passing tests to compare with.
            more = [f for f in self._nearest_tests() if f not in files][:MOST_FILES]
            passing = record(runner, trials.sandbox, more, RECORDING_SECONDS) if more else recording
            recording.lines.update(passing.lines)
            recording.report.statuses.update(passing.report.statuses)
        status = recording.report.statuses
        failing = {t: lines for t, lines in recording.lines.items() if t in tests.tests}
        passing_lines = {t: ls for t, ls in recording.lines.items() if status.get(t) == "passed"}
        said = [recording.report.failures.get(test, "") for test in failing]
        if not failing:
            return None, [tests.failure]
        latest = recording.latest.get(next(iter(failing)), [])
        return Executed(failing, passing_lines, latest), said

    def _nearest_tests(self) -> list[str]:
        """Return test files that import what the issue speaks of, the nearest first."""
        from reapair.agent.proof.changes import Change
        from reapair.agent.proof.reach import affected

        found = localise(self._files, self._session.issue)[:3]
        changes = [Change(b"", each.path, each.path) for each in found]
        return affected(self._trials.sandbox, changes)

    def reproduce(self, state: State) -> State:  # noqa: ARG002
        """Have a test that shows the fault, if one can be had, and decide who goes on."""
        session = self._session
        session.cancel.check()
        if self._ledger.tests is None and not session.drives:
            self._ask_for_test()
        tests = self._ledger.tests or ShowingTests()
        if not self._ledger.suspects or (session.drives and not tests.independent):
            return self._to_loop() if session.drives else self._nothing()
        return {"next": "repair"}

    def _ask_for_test(self) -> None:
        suspects = self._ledger.suspects or []
        found = None
        if "reproduction" not in self._settings.without:
            found = reproduce.by_question(
                self._session, self._trials, self._questions, suspects, self._files
            )
        if found is None:
            self._ledger.note_tests(ShowingTests(why="no test that shows the fault was found."))
            return
        workspace = self._session.workspace
        # Before any change to the product: the proof asks which of them was first.
        for path, text in found.files.items():
            workspace.sandbox().write(path, text.encode())
        workspace.record(0)
        self._ledger.note_tests(found)
        self._forget_trials()
        self._localise()

    def _forget_trials(self) -> None:
        """Close the sandbox of the trials: the tests that they are for are others now."""
        if "_trials" in self.__dict__:
            self._trials.close()
            del self.__dict__["_trials"]

    def repair(self, state: State) -> State:
        """Ask about one function after the other, and try each answer at once."""
        enough = False
        for batch in self._batches():
            self._session.cancel.check()
            if self._session.limit(state["step"]) or self._asked_enough():
                break
            for asked, suspects, answer in self._asked(batch):
                enough = self._follow(asked, suspects, answer) or enough
            if enough:
                break
        return {"next": "choose"}

    def _batches(self) -> Iterator[list[tuple[int, list[Suspect]]]]:
        """Yield samples and functions to ask about, as many at once as the server answers.

        Likely functions first and often, unlikely ones once and late; at last two together.
        """
        suspects = [s for s in self._ledger.suspects or [] if s.end - s.start < LONGEST]
        samples = self._settings.samples
        order = sorted(
            ((i + 2 * n, n, i) for i in range(len(suspects)) for n in range(samples)),
        )
        most = STRONG_QUESTIONS if self._session.drives else 3 * samples
        plan = [(n, [suspects[i]]) for _, n, i in order][:most]
        if len(suspects) > 1 and not self._session.drives:
            plan.append((0, suspects[:2]))
        at_once = self._questions.at_once
        for start in range(0, len(plan), at_once):
            yield plan[start : start + at_once]

    def _asked(
        self, batch: list[tuple[int, list[Suspect]]]
    ) -> Iterator[tuple[Asked, list[Suspect], dict[str, Any]]]:
        wanted = [
            Asked("repair", tuple(s.place for s in chosen), self._repair.messages(chosen), sample)
            for sample, chosen in batch
        ]
        most = max(self._repair.room(suspects) for _, suspects in batch)
        answers = self._questions.ask(wanted, most)
        for asked, (_, suspects), answer in zip(wanted, batch, answers, strict=True):
            yield asked, suspects, answer

    def _follow(self, asked: Asked, suspects: list[Suspect], answer: dict[str, Any]) -> bool:
        """Try an answer, and ask again with what the tests say; return whether one passes."""
        repairs = self._settings.repairs if not asked.sample else 0
        while True:
            candidate = self._candidates.take(answer["number"], suspects, answer)
            if candidate["status"] == "passes":
                return True
            tried = candidate["status"] in ("fails", "better", "breaks")
            if not (tried and repairs) or self._session.limit(0) or self._asked_enough():
                return False
            repairs -= 1
            asked = Asked(
                "repair",
                asked.sites,
                [
                    *asked.messages,
                    {"role": "assistant", "content": answer["content"]},
                    {"role": "user", "content": self._repair.again(candidate["failure"])},
                ],
                0,
                answer["number"],
            )
            answer = self._questions.ask([asked], self._repair.room(suspects))[0]

    def _asked_enough(self) -> bool:
        """Return whether a model that could drive the loop was asked as often as it may be."""
        asked = len(self._session.run.of_kind("candidate"))
        return self._session.drives and asked >= STRONG_QUESTIONS

    def choose(self, state: State) -> State:
        """Give the best candidate to the proof; what it does not prove goes on to the loop."""
        session = self._session
        session.cancel.check()
        judged: list[tuple[int, Mapping[str, Any]]] = []
        for candidate in self._to_prove():
            verdict = self._proved(candidate, state["step"]).verdict
            if verdict in _GOOD:
                return self._finished(candidate)
            judged.append((_RANKS.index(verdict), candidate))
        if session.drives:
            self._take_back()
            return self._to_loop()
        if not judged:
            return self._nothing()
        best = min(judged, key=lambda each: each[0])[1]
        self._proved(best, state["step"])  # Its verdict is known: this puts it into the tree.
        return self._finished(best)

    def _to_prove(self) -> Iterator[Mapping[str, Any]]:
        """Yield candidates to prove: those that went to the proof before a crash, then others."""
        candidates = self._ledger.candidates
        self._rebuild()
        for earlier in self._ledger.chosen:
            if earlier["candidate"] is not None:
                yield candidates[earlier["candidate"] - 1]
        while len(self._ledger.chosen) < PROOFS:
            done = [each["candidate"] for each in self._ledger.chosen]
            left = [c for c in candidates if c["number"] not in done]
            found = best_of(left, self._candidates.forms)
            why = "passes the tests that show the fault"
            if found is None and not done and not self._session.drives:
                near = [c for c in left if c["status"] == "better"]
                found = max(near, key=lambda c: c["fixed"], default=None)
                why = "comes closest"
            if found is None:
                return
            self._ledger.note_chosen(found["number"], f"candidate {found['number']} {why}.")
            yield found

    def _rebuild(self) -> None:
        """Make the files of the candidates again, which a new life of the run does not have."""
        suspects = {each.place: each for each in self._ledger.suspects or []}
        for candidate in self._ledger.candidates:
            answer = self._ledger.answer(candidate["question"])
            chosen = [suspects[place] for place in candidate["sites"] if place in suspects]
            if candidate["number"] not in self._candidates.files and answer and chosen:
                self._candidates.take(candidate["question"], chosen, answer)

    def _proved(self, candidate: Mapping[str, Any], step: int) -> Evidence:
        workspace = self._session.workspace
        self._take_back()
        sandbox = workspace.sandbox()
        for path, text in self._candidates.files[candidate["number"]].items():
            sandbox.write(path, self._trials.encoded(path, text))
        workspace.record(step)
        return self._prove(workspace.recorded_patch(), step)

    def _take_back(self) -> None:
        """Take the last candidate out of the tree; a test that came before it stays."""
        run, workspace = self._session.run, self._session.workspace
        chosen = run.of_kind("chosen")
        first = chosen[0].seq if chosen else len(run.events) + 1
        trees = [tree for tree in run.of_kind("tree") if tree.seq < first]
        before = (run.directory / trees[-1].data["file"]).read_bytes() if trees else b""
        if workspace.recorded_patch() != before:
            workspace.keep(before, 0)
            workspace.replace()

    def _finished(self, candidate: Mapping[str, Any]) -> State:
        self._trials.close()
        summary = f"Changed {', '.join(candidate['sites'])}."
        return {"next": "finish", "exit_reason": ExitReason.SUBMITTED, "summary": summary}

    def _nothing(self) -> State:
        """End with what was found, and no change to the product."""
        session = self._session
        self._trials.close()
        reason = session.limit(0) or ExitReason.NO_SUBMIT
        if not self._ledger.chosen:
            self._ledger.note_chosen(None, "no candidate passes the tests that show the fault.")
        return {"next": "verify", "exit_reason": reason, "submission": None}

    def _to_loop(self) -> State:
        """Give over to the loop, with what is known in its first message."""
        self._forget_trials()
        suspects = [s for s in self._ledger.suspects or [] if s.score >= _TELLING]
        tried = [
            {"sites": ", ".join(c["sites"]), "status": c["status"], "diff": clip(c["diff"], 1_500)}
            for c in self._ledger.candidates
            if c["status"] in ("better", "breaks", "fails", "passes")
        ]
        if not suspects and not tried:
            return {"next": "think", "known": ""}
        known = self._session.prompts.render(
            "guided/known",
            suspects=[{"place": s.place, "reason": "; ".join(s.reasons[:2])} for s in suspects[:3]],
            tests=list((self._ledger.tests or ShowingTests()).tests[:3]),
            tried=tried[-3:],
        )
        return {"next": "think", "known": known}
