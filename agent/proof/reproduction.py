"""Tests that show a fix: they fail without the product part of a patch, and pass with it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from reapair.agent.proof.changes import Change
from reapair.agent.proof.literals import added_literals
from reapair.agent.proof.sides import Sides
from reapair.agent.proof.suites import FAILING, MOST_FILES
from reapair.agent.proof.support import is_test_source
from reapair.agent.proof.trials import Subject, Trial, name_in, try_tests
from reapair.agent.proof.variants import names_of_tests
from reapair.agent.result import Author, Reproduction
from reapair.tools import Status, TestReport, is_test_file

_BY_NAME = re.compile(
    r"ImportError: cannot import name '(\w+)'|No module named '([\w.]+)'"
    r"|NameError: name '(\w+)' is not defined|AttributeError: .*has no attribute '(\w+)'"
    r"|ReferenceError: (\w+) is not defined|TypeError: .*?(\w+) is not a (?:function|constructor)"
    r"|Cannot find module '(?:.*/)?([\w.]+)'"
)


_OUR_FAULT = re.compile(r"(ModuleNotFound|Import|Name|FileNotFound|Syntax)Error")
_FRAME = re.compile(
    r"^(?:  File \")?([^\s\"]+?)(?:\", line |:)(\d+)(?:, in |: in |:|$)", re.MULTILINE
)


@dataclass(slots=True)
class Shown:
    """What tests show of a fix.

    Attributes:
        tests: those that hold.
        flaky: those that held once and not again.
        notes: why others were not taken, a sentence each.
        doubts: why what they show can't be relied on, a sentence each.
        reached: whether they ran a changed line; None: not measured.
    """

    tests: list[Reproduction] = field(default_factory=list)
    flaky: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    reached: bool | None = None


def by_first(sides: Sides, baseline: TestReport, after: TestReport, named: Iterable[str]) -> Shown:
    """Return the tests that did not know the patch, failed before and pass now.

    These are the repository's, the issue's own example, and what the model wrote before it changed
    product code, all as they were then.
    """
    mended = mended_by(baseline, after)
    paths = [p for p in _files(mended) if p != "all"] or _files_of(mended, sides)
    files = {path: text for path, text in sides.texts(paths).items() if text}
    placed = {path: text for path, text in sides.first_tests.items() if path not in files}
    if sides.issue_test:
        placed[sides.issue_test_path] = sides.issue_test
    files |= placed
    if not files:
        return Shown(tests=[_reproduction(t, "existing", s) for t, s in mended.items()])
    trial = try_tests(sides, Subject(files, frozenset(mended), placed=frozenset(placed)))
    shown = Shown(reached=trial.reached)
    for test in sorted({*mended, *trial.tests}):
        path = at.path if (at := trial.place(test)) else ""
        if path == sides.issue_test_path and path in placed:
            _take_example(shown, trial, test)
        elif path in placed and test not in baseline.statuses:
            _take_new(shown, sides, trial, test, "model_first")
        elif test in mended:
            author: Author = "user" if any(_means(each, test) for each in named) else "existing"
            _take(shown, trial, test, author, mended[test])
    shown.doubts += _bent_data(shown, sides, trial)
    return _tried(shown, sides, trial)


def _bent_data(shown: Shown, sides: Sides, trial: Trial) -> list[str]:
    """Return which tests fail once data that they read themselves is as it was before the patch."""
    pairs = (line.partition(" ") for line in trial.opened)
    read = {path for path, _, reader in pairs if is_test_file(reader) and path in sides.data}
    if not read:
        return []
    originals = {path: sides.data[path] for path in read}
    with sides.sandbox("patched", trial.subject.extra | originals) as sandbox:
        report = sides.run_in(sandbox, sorted(trial.subject.files))
    return [
        f"{each.test} passes only with {', '.join(sorted(read))} as the change rewrites it."
        for each in shown.tests
        if report.statuses.get(each.test) != "passed"
    ]


def mended_by(baseline: TestReport, after: TestReport) -> dict[str, Status]:
    """Return the tests that were there, failed before and pass now, with what they were before.

    Of a file that could not even be loaded, no test had a name.
    """
    unloaded = {t: s for t, s in baseline.statuses.items() if s == "error" and "::" not in t}
    found: dict[str, Status] = {}
    for test, status in after.statuses.items():
        before = baseline.statuses.get(test) or next(
            (
                s
                for file, s in unloaded.items()
                if name_in(test, file) or name_in(test, _path(file))
            ),
            None,
        )
        if status == "passed" and before in FAILING:
            found[test] = before
    return found


def _path(module: str) -> str:
    """Return the file that unittest names by a module it failed to load."""
    return f"{module.rpartition('_FailedTest.')[2].replace('.', '/')}.py"


def _files_of(tests: Iterable[str], sides: Sides) -> list[str]:
    """Return the files among those near the change that hold tests with dotted names."""
    found = {path for path in sides.affected for test in tests if name_in(test, path)}
    return sorted(found)[:MOST_FILES]


def _take(shown: Shown, trial: Trial, test: str, author: Author, before: Status) -> None:
    """Take a test that holds once more, on both sides."""
    again = trial.before.statuses.get(test, before)
    tried = trial.place(test) is not None
    if tried and not (again in FAILING and trial.after.statuses.get(test) == "passed"):
        shown.flaky.append(test)
    else:
        shown.tests.append(_reproduction(test, author, before))


def _take_example(shown: Shown, trial: Trial, test: str) -> None:
    """Take the issue's example, which has to turn green where it says what is right."""
    before, after = (r.statuses.get(test, "missing") for r in (trial.before, trial.after))
    said = trial.before.failures.get(test, "")
    weak, stated = "_weak" in test, "_stated" in test
    if before not in FAILING or _OUR_FAULT.search(said):
        return
    if after == "passed" and not weak:
        shown.tests.append(_reproduction(test, "issue", before))
    elif after in FAILING and (stated or weak):
        shown.doubts.append(f"The issue's own example fails with the change as well: {_last(said)}")


def _take_new(shown: Shown, sides: Sides, trial: Trial, test: str, author: Author) -> None:
    """Take a test of the model's, or note why it shows nothing."""
    if trial.after.statuses.get(test) != "passed":
        return
    words = {word for c in sides.product_code for word in re.findall(r"\w+", c.added_text)}
    at = trial.place(test)
    if reason := _no_proof(test, trial.before, words, at.path if at else ""):
        shown.notes.append(f"{test} {reason}.")
    elif trial.reached is False:
        shown.notes.append(f"{test} runs none of the changed lines.")
    elif not trial.asserts(test):
        shown.notes.append(f"{test} checks nothing, so it shows nothing.")
    else:
        before = trial.before.statuses.get(test, "error")
        shown.tests.append(_reproduction(test, author, before))


def _tried(shown: Shown, sides: Sides, trial: Trial) -> Shown:
    """Add what speaks against the tests that were taken."""
    added = added_literals(sides.changes)
    found = (doubt for each in shown.tests[:20] for doubt in trial.doubts(each.test, added))
    shown.doubts += list(dict.fromkeys(found))[:5]
    if trial.after.inconsistent and trial.copied_after is not trial.after:
        shown.doubts.append(
            f"The tests' results contradict each other: {trial.after.inconsistent}."
        )
    return shown


def _reproduction(test: str, author: Author, before: Status) -> Reproduction:
    return Reproduction(test=test, author=author, before=before, after="passed")


def _last(said: str) -> str:
    return (said.strip().splitlines() or [""])[-1].removeprefix("E ").strip()[:160]


def by_own(sides: Sides, baseline: TestReport) -> Shown:
    """Return the tests that came with the patch and show the fix; notes say why others do not."""
    own = {c.new: c for c in sides.changes if c.support and c.new and is_test_source(c.new)}
    files = {path: own[path].after for path in sorted(own)[:MOST_FILES]}
    if not files or not sides.product:
        return Shown()
    fresh = frozenset(f"{path}::{name}" for path, change in own.items() if path.endswith(".py")
                      for name in _fresh_names(change))  # fmt: skip
    trial = try_tests(sides, Subject(files, fresh, "tests", "whole"))
    shown = Shown(reached=trial.reached)
    for test in trial.tests:
        if test in baseline.statuses:
            continue
        if trial.after.statuses[test] in FAILING:
            shown.doubts.append(f"{test}, which is new, fails with the change.")
        else:
            _take_new(shown, sides, trial, test, "model")
    shown.doubts, shown.notes = shown.doubts[:5], shown.notes[:5]
    return _tried(shown, sides, trial)


def _fresh_names(change: Change) -> list[str]:
    """Return the tests that a change brings into a file."""
    try:
        known = set(names_of_tests(change.before))
        return [name for name in names_of_tests(change.after) if name not in known]
    except SyntaxError:
        return []


def _no_proof(test: str, before: TestReport, words: set[str], path: str) -> str:
    """Return why a new test shows nothing, by what it does without the rest of the patch."""
    status = before.statuses.get(test, "missing")
    if status == "passed":
        return "passes without the change as well"
    if status == "skipped":
        return "is skipped without the change"
    file = test.partition("::")[0]
    said = before.failures.get(test) or before.failures.get(file) or _unloaded(before, path)
    if not _raised_elsewhere(said, path) and (name := _missing_name(said, words)):
        return f"fails without the change only because {name} is not there yet"
    return "" if said or status in FAILING else "cannot be run at all without the change"


def _unloaded(before: TestReport, path: str) -> str:
    """Return what unittest said of a file that it could not load."""
    found = (t for t, s in before.failures.items() if s and "::" not in t and _path(t) == path)
    return next((before.failures[test] for test in found), "")


def _raised_elsewhere(said: str, path: str) -> bool:
    """Return whether a failure comes out of product code: the name is missing there."""
    frames = [m[1] for m in _FRAME.finditer(said) if not m[1].startswith("<")]
    own = path.rpartition("/")[2]
    return bool(frames) and bool(path) and frames[-1].rpartition("/")[2] != own


def _missing_name(said: str, words: set[str]) -> str:
    """Return the name, added by the patch, whose absence is all that a failure tells of."""
    lines = [line for line in said.splitlines() if line.startswith("E ")] or said.splitlines()
    for line in reversed(lines):
        for found in _BY_NAME.finditer(line):
            name = next(group for group in found.groups() if group)
            if name in words or name.rpartition(".")[2] in words or "." in name:
                return name
    return ""


def named(wanted: Iterable[str], baseline: TestReport, after: TestReport) -> list[str]:
    """Return why tests that the user named do not show the fix; [] when all of them do."""
    problems = []
    for test in wanted:
        meant = [known for known in baseline.statuses if _means(test, known)]
        before = {baseline.statuses[known] for known in meant}
        now = {after.statuses.get(known, "missing") for known in meant}
        if not meant:
            problems.append(f"The named test {test} was not found.")
        elif not before & set(FAILING):
            problems.append(f"The named test {test} does not fail on the untouched code.")
        elif now != {"passed"}:
            problems.append(f"The named test {test} does not pass with the change.")
    return problems


def _means(wanted: str, test: str) -> bool:
    """Tell whether a name stands for a test: its id, or a file, class or function around it."""
    return test == wanted or test.startswith((f"{wanted}::", f"{wanted}[", f"{wanted}."))


def _files(tests: Iterable[str]) -> list[str]:
    """Return the first of the files that hold the tests, or `all` where no id names one."""
    files = sorted({test.partition("::")[0] for test in tests if "::" in test})
    return files[:MOST_FILES] or ["all"]
