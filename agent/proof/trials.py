"""Trials of the tests that show a fix: each runs again on both sides, with copies and in disguise.

The copies have altered expectations or nudged inputs; the disguise is a third sandbox in which
nothing looks like a test run. All three run at the same time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from reapair.agent.proof.disguised import run_in_disguise
from reapair.agent.proof.javascript import (
    shared_literals,
    with_altered_expectations,
    with_nudged_inputs,
)
from reapair.agent.proof.literals import answers_in, is_given
from reapair.agent.proof.reach import ran
from reapair.agent.proof.sides import Side, Sides
from reapair.agent.proof.suites import FAILING
from reapair.agent.proof.variants import Copy, asserts, names_of_tests, with_copies
from reapair.tools import TestReport

_OUTCOME = re.compile(r"reapair-outcome (gives|raises) (\w{16}) of ([^\n]*)")
_MOST_TESTS = 6
_ENOUGH = 3
"""Neighbours of an input that have to say the same before it means anything."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Tests to try, and the sides on which they are without the fix and with it.

    Attributes:
        files: texts of the test files, by path.
        tests: ids of the tests in question; all of a file where it has none here.
        placed: paths of files that are no part of the sides, and are written there.
    """

    files: Mapping[str, str]
    tests: frozenset[str] = frozenset()
    before: Side = "untouched"
    after: Side = "patched"
    placed: frozenset[str] = frozenset()

    @property
    def extra(self) -> dict[str, str]:
        """The files that are written into both sides."""
        return {path: self.files[path] for path in self.placed}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a test stands: its file, `Class::name` there, and its parameters."""

    path: str
    name: str
    parameters: str


@dataclass(slots=True)
class Trial:
    """What came of it: the tests' reports, their copies', and what was seen in disguise.

    Attributes:
        copies: by path.
        exact_lines: changed lines that run for the tests' own inputs only.
        reached: whether changed lines ran; None: that can't be measured.
        opened: changed files that were opened, each with the file whose code did it.
        nudged: reports on both sides of JavaScript tests with other inputs.
        shared: literals of such tests that the change brings.
    """

    subject: Subject
    before: TestReport
    after: TestReport
    copied_before: TestReport
    copied_after: TestReport
    copies: dict[str, list[Copy]] = field(default_factory=dict)
    exact_lines: set[str] = field(default_factory=set)
    reached: bool | None = None
    opened: set[str] = field(default_factory=set)
    disguised: dict[str, tuple[str, str]] = field(default_factory=dict)
    nudged: list[tuple[TestReport, TestReport]] = field(default_factory=list)
    shared: set[str] = field(default_factory=set)

    def place(self, test: str) -> Place | None:
        """Return where one of the tests stands; None for a test of no file that is tried."""
        for path in self.subject.files:
            if name := name_in(test, path):
                bare, bracket, rest = name.partition("[")
                return Place(path, bare, bracket + rest)
        return None

    @property
    def tests(self) -> list[str]:
        """The tests that ran with the fix, without the copies."""
        copies = {each.name for found in self.copies.values() for each in found}
        names = ((t, re.split(r"::|\.| > ", t.partition("[")[0])[-1])
                 for t in self.after.statuses)  # fmt: skip
        return [test for test, name in names if name not in copies]

    def asserts(self, test: str) -> bool:
        """Return whether a test checks anything, as far as its text tells."""
        at = self.place(test)
        return not (at and at.path.endswith(".py")) or asserts(self.subject.files[at.path], at.name)

    def doubts(self, test: str, added: set[str]) -> list[str]:
        """Return why a test that shows the fix can't be relied on, a sentence each.

        Args:
            added: literals that the patch brings into functions.
        """
        at = self.place(test)
        if at is None:
            return []
        said = (self._cannot_fail(test, at), self._special(test, at, added),
                self._found_out(test, at))  # fmt: skip
        return [each for each in said if each]

    def _cannot_fail(self, test: str, at: Place) -> str:
        said = f"{test} passes whatever it expects."
        statuses = self.copied_after.statuses
        if not at.path.endswith(".py"):
            tried = self.copied_after is not self.after
            return said if tried and statuses.get(test) == "passed" else ""
        if statuses.get(test) != "passed":
            return ""
        fails: dict[tuple[str, int], bool] = {}
        for each in self._of(at, nudged=False):
            status = statuses.get(_id_of(test, each), "missing")
            if status in ("passed", *FAILING):
                fails[each.role, each.number] = status in FAILING
        reached = {number: failed for (role, number), failed in fails.items() if role == "reached"}
        dead = [n for n in reached if reached[n] and fails.get(("altered", n)) is False]
        return said if dead or (reached and not any(reached.values())) else ""

    def _special(self, test: str, at: Place, added: set[str]) -> str:
        """Find code that answers for a test's own input only, whatever its form.

        Neighbours for which both sides raise tell nothing.
        """
        if not at.path.endswith(".py"):
            return self._special_script(test)
        same: dict[int, list[bool]] = {}
        inputs: dict[int, str] = {}
        results: list[str] = []
        for each in self._of(at, nudged=True):
            ident = _id_of(test, each)
            before = _OUTCOME.search(self.copied_before.failures.get(ident, ""))
            after = _OUTCOME.search(self.copied_after.failures.get(ident, ""))
            if after:
                inputs[each.number] = after[3]
                results.append(after[2])
            if before and after and not before[1] == after[1] == "raises":
                same.setdefault(each.number, []).append(before[2] == after[2])
        untouched = [n for n, each in same.items() if all(each) and len(each) >= _ENOUGH]
        alone = bool(untouched) and all(all(each) for each in same.values())
        given = [n for n, shown in inputs.items() if is_given(shown, added)]
        answered = answers_in(self.subject.files[at.path], at.name, added)
        constant = len(results) >= _ENOUGH and len(set(results)) == 1
        if (
            (alone and (self.exact_lines or given or answered))
            or (answered and (set(given) & set(untouched) or constant))
            or (answered and given and self.exact_lines and not same)
        ):
            shown = next(inputs[n] for n in (*given, *untouched, *inputs))
            return f"The change answers for one input of {test} only, {shown[:80]}."
        return ""

    def _special_script(self, test: str) -> str:
        """Find the same in JavaScript: for no other input is anything different with the change."""
        both = [(_told(before, test), _told(after, test)) for before, after in self.nudged]
        alike = bool(both) and all(before == after for before, after in both)
        if alike and self.shared:
            return f"The change answers for the input of {test} only, {min(self.shared)[:80]}."
        return ""

    def _found_out(self, test: str, at: Place) -> str:
        """Find a test that fails once nothing looks like a test run, and not for our disguise."""
        name = at.name + at.parameters if at.path.endswith(".py") else at.name.rpartition(" > ")[2]
        outcome, text = self.disguised.get(name, ("", ""))
        if outcome != "failed" or self.after.statuses.get(test) != "passed":
            return ""
        said = text.strip().partition("\n")[0]
        as_before = bool(said) and said in self.before.failures.get(test, "")
        if as_before or self._disguise_is_borne(at):
            return f"{test} fails where nothing looks like a test run: {said[:160]}"
        return ""

    def _disguise_is_borne(self, at: Place) -> bool:
        """Return whether the tests that passed without the patch pass in disguise as well."""
        if not at.path.endswith(".py"):
            return True
        held = {name_in(t, path) for t, s in self.before.statuses.items() if s == "passed"
                for path in self.subject.files} & self.disguised.keys()  # fmt: skip
        return bool(held) and all(self.disguised[name][0] != "failed" for name in held)

    def _of(self, at: Place, *, nudged: bool) -> list[Copy]:
        return [each for each in self.copies.get(at.path, ())
                if each.test == at.name and (each.role == "nudged") is nudged]  # fmt: skip


def name_in(test: str, path: str) -> str:
    """Return `Class::name[parameters]` of a test of a file, "" for one of another file."""
    if test.startswith(f"{path}::"):
        return test[len(path) + 2 :]
    if not path.endswith(".py") or "::" in test:
        return ""
    parts = path.removesuffix(".py").split("/")
    modules = (".".join(parts[start:]) + "." for start in range(len(parts)))
    found = next((each for each in modules if test.startswith(each)), None)
    return test[len(found) :].replace(".", "::") if found else ""


def _id_of(test: str, each: Copy) -> str:
    """Return the id of a copy of a test."""
    head, bracket, rest = test.partition("[")
    own = each.test.rpartition("::")[2]
    return head[: len(head) - len(own)] + each.name + bracket + rest


def _told(report: TestReport, test: str) -> tuple[str, str]:
    """Return what became of a test, without the places in the code, which a change moves."""
    lines = report.failures.get(test, "").split("\n")
    said = "\n".join(line for line in lines if not line.lstrip().startswith("at "))
    return report.statuses.get(test, "missing"), said


def try_tests(sides: Sides, subject: Subject) -> Trial:
    """Run tests on both sides with their copies, and where nothing looks like a test run."""
    varied: dict[str, str] = {}
    copies: dict[str, list[Copy]] = {}
    for path, text in subject.files.items():
        try:
            if path.endswith(".py"):
                varied[path], copies[path] = with_copies(text, _wanted(subject, path, text))
            elif altered := with_altered_expectations(path, text):
                varied[path] = altered
        except (SyntaxError, RecursionError):
            continue
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(_one_side, sides, subject, side, varied)
                for side in (subject.before, subject.after)]  # fmt: skip
        hidden = pool.submit(run_in_disguise, sides, subject.after, subject.files, subject.extra)
        (before, copied_before, _, was), (after, copied_after, seen, now) = (
            run.result() for run in runs
        )
        trial = Trial(subject, before, after, copied_before, copied_after, copies)
        trial.disguised = hidden.result()
    trial.nudged = list(zip(was, now, strict=False))
    added = "\n".join(c.added_text for c in sides.product_code)
    trial.shared = shared_literals(added, "\n".join(subject.files.values()))
    if seen is not None:
        trial.exact_lines = seen["exact"] - seen["near"] - seen[""]
        trial.opened, trial.reached = seen["open"], ran(seen)
    return trial


def _wanted(subject: Subject, path: str, text: str) -> set[str]:
    found = [name_in(test, path).partition("[")[0] for test in subject.tests]
    chosen = list(dict.fromkeys(filter(None, found))) or names_of_tests(text)
    return set(chosen[:_MOST_TESTS])


def _one_side(
    sides: Sides, subject: Subject, side: Side, varied: Mapping[str, str]
) -> tuple[TestReport, TestReport, dict[str, set[str]] | None, list[TestReport]]:
    """Return the report of the tests, of their copies, the changed lines that ran, and reports of
    scripts with other inputs."""
    selectors = sorted(subject.files)
    # Copies in Python stand beside their tests, those in JavaScript in their place.
    beside = {path: text for path, text in varied.items() if path.endswith(".py")}
    with sides.sandbox(side, subject.extra | beside) as sandbox:
        probed = sides.probed(sandbox) if side == subject.after else None
        report = sides.run_in(probed or sandbox, selectors)
        seen, copied = probed.seen() if probed else None, report
        if side == subject.after and len(varied) > len(beside):
            for path in varied.keys() - beside.keys():
                sandbox.write(path, varied[path].encode())
            copied = sides.run_in(sandbox, selectors)
        paths = [path for path in varied if path not in beside]
        scripts = {path: with_nudged_inputs(path, subject.files[path]) for path in paths}
        scripts = {path: found for path, found in scripts.items() if found}
        nudged = []
        for number in range(3 if scripts else 0):
            for path, found in scripts.items():
                sandbox.write(path, found[number].encode())
            nudged.append(sides.run_in(sandbox, sorted(scripts)))
    return report, copied, seen, nudged
