"""What the log knows of guided solving: each stage looks here for what is done already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from reapair.agent.guided.localise import Suspect
from reapair.agent.model.types import Outcome

if TYPE_CHECKING:
    from reapair.agent.guided.trial import Trial
    from reapair.agent.log.event_log import Run
    from reapair.agent.log.events import Event
    from reapair.agent.model.types import Answer

SERVER_FAULTS = frozenset(
    {
        Outcome.AUTH,
        Outcome.NOT_FOUND,
        Outcome.BAD_REQUEST,
        Outcome.BAD_HISTORY,
        Outcome.UNAVAILABLE,
        Outcome.BROKEN_STREAM,
    }
)
"""Outcomes that are no answer of the model's: the run ends, and asks again when it is resumed."""

Author = Literal["existing", "named", "issue", "model", "none"]


@dataclass(frozen=True, slots=True)
class ShowingTests:
    """The tests that show the fault. `files` are ours, by path; `failure` is what they say."""

    author: Author = "none"
    tests: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    failure: str = ""
    why: str = ""

    @property
    def independent(self) -> bool:
        """True when no model had a hand in them."""
        return self.author in ("existing", "named", "issue")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: what it is about, its messages, and which answer is drawn."""

    stage: Literal["reproduce", "repair"]
    sites: tuple[str, ...]
    messages: Sequence[dict[str, Any]]
    sample: int = 0
    follows: int | None = None


class Ledger:
    """Reads and writes the events of guided solving in one run's log."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def suspects(self) -> list[Suspect] | None:
        """What localisation found; None while it has not been done."""
        for event in self._run.of_kind("suspects"):
            return [
                Suspect(**{**s, "reasons": tuple(s["reasons"])}) for s in event.data["suspects"]
            ]
        return None

    def note_suspects(self, found: Sequence[Suspect], *, executed: bool, seconds: float) -> None:
        """Log the suspects."""
        rows = [asdict(each) for each in found]
        self._run.append("suspects", suspects=rows, executed=executed, seconds=round(seconds, 1))

    @property
    def tests(self) -> ShowingTests | None:
        """The tests that show the fault; None while they have not been looked for."""
        for event in self._run.of_kind("reproduction"):
            return ShowingTests(**{**event.data, "tests": tuple(event.data["tests"])})
        return None

    def note_tests(self, found: ShowingTests) -> None:
        """Log them: from here on they stay as they are."""
        self._run.append("reproduction", **asdict(found))

    def question(self, asked: Asked) -> Event | None:
        """Return the event of a question that was asked already."""
        key = (asked.stage, list(asked.sites), asked.sample, asked.follows)
        for event in self._run.of_kind("question"):
            data = event.data
            if (data["stage"], data["sites"], data["sample"], data["follows"]) == key:
                return event
        return None

    def begin(self, asked: Asked) -> int:
        """Log that a question is about to be asked, and return its number."""
        if known := self.question(asked):
            return int(known.data["number"])
        number = len(self._run.of_kind("question")) + 1
        self._run.append("question", number=number, **asdict(asked))
        return number

    def answer(self, number: int) -> dict[str, Any] | None:
        """Return the data of a question's answer; None while the model has given none."""
        for event in self._run.of_kind("answer"):
            if event.data["number"] == number and event.data["outcome"] not in SERVER_FAULTS:
                return event.data
        return None

    def note_answer(self, number: int, answer: Answer) -> dict[str, Any]:
        """Log an answer."""
        return self._run.append(
            "answer",
            number=number,
            outcome=answer.outcome,
            content=answer.content,
            reasoning=answer.reasoning,
            usage=asdict(answer.usage),
            finish_reason=answer.finish_reason,
            salvaged=answer.salvaged,
            detail=answer.detail,
        ).data

    @property
    def candidates(self) -> list[dict[str, Any]]:
        """The candidates so far."""
        return [event.data for event in self._run.of_kind("candidate")]

    def candidate_of(self, question: int) -> dict[str, Any] | None:
        """Return the candidate that a question's answer gave."""
        return next((c for c in self.candidates if c["question"] == question), None)

    def note_candidate(
        self, question: int, sites: Sequence[str], status: str, wanted: int, diff: str = "",
        trial: Trial | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Log a candidate with what tests say of it."""
        return self._run.append(
            "candidate",
            number=len(self._run.of_kind("candidate")) + 1,
            question=question,
            sites=list(sites),
            status=status,
            fixed=trial.fixed if trial else 0,
            wanted=wanted,
            broken=list(trial.broken) if trial else [],
            failure=trial.failure if trial else "",
            diff=diff,
            seconds=trial.seconds if trial else 0.0,
        ).data

    @property
    def chosen(self) -> list[dict[str, Any]]:
        """What went to the proof so far."""
        return [event.data for event in self._run.of_kind("chosen")]

    def note_chosen(self, candidate: int | None, why: str) -> None:
        """Log which candidate goes to the proof."""
        self._run.append("chosen", candidate=candidate, why=why)
