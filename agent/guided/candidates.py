"""Candidates: files changed by an answer, told apart by their syntax trees, and tried."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reapair.agent.guided.answers import read_answer
from reapair.agent.guided.splice import normal_form, spliced

if TYPE_CHECKING:
    from reapair.agent.guided.ledger import Ledger
    from reapair.agent.guided.localise import Suspect
    from reapair.agent.guided.trial import Trials

_DIFF = 20_000


class Candidates:
    """All candidates of a run; a change that was seen before is not tried twice."""

    def __init__(self, ledger: Ledger, trials: Trials) -> None:
        self._ledger = ledger
        self._trials = trials
        self._seen: dict[tuple[str, ...], int] = {}
        self.files: dict[int, dict[str, str]] = {}
        self.forms: dict[int, tuple[str, ...]] = {}

    def take(
        self, question: int, suspects: Sequence[Suspect], answer: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the candidate of an answer, as it is logged; tried unless it was before."""
        places = [each.place for each in suspects]
        files, status = self._changed(suspects, answer)
        form = tuple(f"{path}\n{normal_form(files[path], path)}" for path in sorted(files))
        known = self._ledger.candidate_of(question)
        wanted = len(self._trials.wanted)
        if known is None and not status and form in self._seen:
            status = "duplicate"
        if known is None and status:
            known = self._ledger.note_candidate(question, places, status, wanted)
        elif known is None:
            trial = self._trials.run(files)
            known = self._ledger.note_candidate(
                question, places, trial.status, wanted, self._diff(files), trial
            )
        if not status:
            self._seen[form] = known["number"]
        self.files[known["number"]], self.forms[known["number"]] = files, form
        return known

    def _changed(
        self, suspects: Sequence[Suspect], answer: Mapping[str, Any]
    ) -> tuple[dict[str, str], str]:
        """Return the changed files; without any, why there are none."""
        written = read_answer(answer["content"], whole=answer["finish_reason"] != "length")
        if written.unchanged:
            return {}, "unchanged"
        files: dict[str, str] = {}
        fits = False
        for suspect in suspects:
            before = self._trials.text(suspect.path)
            text = spliced(files.get(suspect.path, before), suspect.path, suspect.name, written)
            fits = fits or text is not None
            changed = text is not None and (
                normal_form(text, suspect.path) != normal_form(before, suspect.path)
            )
            if text is not None and changed:
                files[suspect.path] = text
        if files:
            return files, ""
        return {}, "unchanged" if fits else "no_code"

    def _diff(self, files: Mapping[str, str]) -> str:
        rows: list[str] = []
        for path, text in sorted(files.items()):
            before = self._trials.text(path).splitlines()
            rows += difflib.unified_diff(before, text.splitlines(), path, path, n=2, lineterm="")
        return "\n".join(rows)[:_DIFF]


def best_of(
    candidates: Sequence[Mapping[str, Any]], forms: Mapping[int, tuple[str, ...]]
) -> Mapping[str, Any] | None:
    """Return the smallest change of the largest group that came out the same; None of none."""
    passing = [c for c in candidates if c["status"] == "passes"]
    if not passing:
        return None
    sizes = {c["number"]: sum(r[:1] in "+-" for r in c["diff"].split("\n")) for c in passing}
    agreed = {
        c["number"]: sum(forms.get(o["number"]) == forms.get(c["number"]) for o in candidates)
        for c in passing
    }
    return min(passing, key=lambda c: (-agreed[c["number"]], sizes[c["number"]], c["number"]))
