"""The choice between several attempts at one issue: by proof first, and never by the model's word.

Verdict, then the tests that the other attempts wrote, then agreement, then smallness.
"""

from __future__ import annotations

import ast
import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reapair.agent.result import Candidate, Choice, ExitReason, Verdict
from reapair.sandbox import SandboxError
from reapair.sandbox.git.patch import Patch
from reapair.sandbox.git.patch_parser import FileDiff
from reapair.sandbox.git.run_git import GitError
from reapair.tools.files import is_test_file
from reapair.tools.python_source import dump, parse_python

if TYPE_CHECKING:
    from reapair.agent.result import Result
    from reapair.agent.workspace.workspace import Workspace
    from reapair.sandbox.git.repository import GitStore

SMALL_LINES = 100
"""Changed lines, tests apart, up to which a proved change ends the search for a better one."""

CROSS_SECONDS = 600.0
"""Longest that all cross-checks of a choice may take together."""

_RANK = (
    Verdict.PROVED,
    Verdict.SHOWN,
    Verdict.REGRESSION_FREE,
    Verdict.UNPROVED,
    Verdict.REFUTED,
    Verdict.EMPTY,
)
_PARSED_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """An attempt that came to its end: its number, its result and its change."""

    attempt: int
    result: Result
    patch: bytes

    @property
    def source(self) -> bytes:
        """The change without its tests."""
        return Patch(self.patch).part(lambda file: not _is_test(file))

    @property
    def tests(self) -> bytes:
        """The tests in the change."""
        return Patch(self.patch).part(_is_test)

    @property
    def shown_by(self) -> list[str]:
        """Ids of the tests that failed before this change and pass with it; none after a trick."""
        evidence = self.result.evidence
        return [] if evidence.tricks else [shown.test for shown in evidence.reproduction]


def changed_lines(patch: bytes) -> int:
    """Return how many lines a patch adds or removes outside of tests."""
    return sum(file.changed_lines for file in Patch(patch).files if not _is_test(file))


def is_good_enough(verdict: Verdict, patch: bytes) -> bool:
    """Return whether no other attempt has to be waited for."""
    return verdict is Verdict.PROVED and changed_lines(patch) <= SMALL_LINES


def choose(
    entries: Sequence[Entry], workspace: Workspace, store: GitStore, *, seconds: float
) -> Choice:
    """Choose one of the attempts that have ended.

    Args:
        entries: at least one, by number.
        workspace: gives fresh sandboxes to run tests in.
        store: has the snapshot's files.
        seconds: that are left of the run's time.

    Raises nothing for what sandboxes do: a cross-check that fails counts for nobody.
    """
    tree = workspace.snapshot.tree
    groups = {entry.attempt: substance(store, tree, entry.source) for entry in entries}
    candidates = [_candidate(entry, list(groups.values()).count(groups[entry.attempt]))
                  for entry in entries]  # fmt: skip
    best = min(map(_rank, candidates))
    tied = {each.attempt for each in candidates if _rank(each) == best}
    if len({groups[attempt] for attempt in tied}) > 1 and best < _RANK.index(Verdict.REFUTED):
        check = _CrossCheck(entries, groups, workspace, min(seconds, CROSS_SECONDS))
        for candidate in candidates:
            if candidate.attempt in tied:
                candidate.cross_passed, candidate.cross_total = check.score(candidate.attempt)
    candidates.sort(key=_order)
    return Choice(
        attempt=candidates[0].attempt,
        why=_why(candidates),
        candidates=sorted(candidates, key=lambda each: each.attempt),
    )


def _candidate(entry: Entry, agreeing: int) -> Candidate:
    return Candidate(
        attempt=entry.attempt,
        exit_reason=entry.result.exit_reason,
        verdict=entry.result.verdict,
        agreeing=agreeing if entry.source else 1,
        changed_lines=changed_lines(entry.patch),
        usage=entry.result.usage,
    )


def _rank(candidate: Candidate) -> int:
    """Return the place of its verdict; what another attempt ended was never finished, so last."""
    ended = candidate.exit_reason is ExitReason.SUPERSEDED
    return len(_RANK) if ended else _RANK.index(candidate.verdict)


def _order(candidate: Candidate) -> tuple[float, ...]:
    crossed = candidate.cross_passed / (candidate.cross_total or 1)
    return (
        _rank(candidate),
        -crossed,
        -candidate.agreeing,
        candidate.changed_lines,
        candidate.attempt,
    )


def _why(ordered: Sequence[Candidate]) -> str:
    """Return in one sentence what put the first before the second."""
    first, verdict = ordered[0], ordered[0].verdict
    name = f"Attempt {first.attempt}"
    if len(ordered) == 1:
        return f"{name} is the only one that came to an end."
    second = ordered[1]
    if second.exit_reason is ExitReason.SUPERSEDED and first.exit_reason != second.exit_reason:
        lines = f"{first.changed_lines} changed lines"
        return f"{name} was {verdict} first, with {lines}, so the others were ended."
    equals = sum(_rank(each) == _rank(first) for each in ordered)
    decided = next(
        (at for at, pair in enumerate(zip(_order(first), _order(second), strict=True))
         if pair[0] != pair[1]), 4,
    )  # fmt: skip
    return (
        f"{name} alone is {verdict}; the next best is {second.verdict}.",
        f"Of {equals} attempts that are {verdict}, {name.lower()} passes most tests of the others: "
        f"{first.cross_passed} of {first.cross_total}.",
        f"Of {equals} attempts that are {verdict}, {name.lower()} makes the change that most agree "
        f"on: {first.agreeing} do.",
        f"Of {equals} attempts that are {verdict}, {name.lower()} is the smallest: "
        f"{first.changed_lines} changed lines.",
        f"{equals} attempts are {verdict} and alike; {name.lower()} is the first of them.",
    )[decided]


def substance(store: GitStore, tree: str, patch: bytes) -> str:
    """Return what is equal for two changes exactly when they do the same.

    Args:
        store: has the tree.
        tree: what the patch applies to.
        patch: Python files are compared by syntax tree without docstrings, others by their text
            without regard to white space.
    """
    if not patch.strip():
        return ""
    index = store.directory / "choice.index"
    index.unlink(missing_ok=True)
    env = {"GIT_INDEX_FILE": str(index)}
    try:
        store.git("read-tree", tree, env=env)
        store.git("apply", "--cached", "--whitespace=nowarn", "-", stdin=patch, env=env)
    except GitError:
        return hashlib.sha256(patch).hexdigest()
    paths = sorted({os.fsdecode(path) for file in Patch(patch).files for path in file.changed})
    digest = hashlib.sha256()
    for path in paths:
        try:
            content = store.git("cat-file", "blob", f":0:{path}", env=env)
        except GitError:  # The change removes it.
            content = b"\0"
        normal = _normal(path, content)
        digest.update(f"{path}\0{len(normal)}\0".encode("utf-8", "surrogateescape"))
        digest.update(normal)
    return digest.hexdigest()


def _normal(path: str, content: bytes) -> bytes:
    """Return a file's content without what does not matter. Parses Python, and runs nothing."""
    if path.endswith((".py", ".pyi")) and len(content) <= _PARSED_LIMIT:
        try:
            tree = parse_python(content)
            for node in ast.walk(tree):
                if isinstance(
                    node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
                ) and isinstance(ast.get_docstring(node, clean=False), str):
                    del node.body[0]
            return dump(tree).encode("utf-8", "surrogatepass")
        except (SyntaxError, RecursionError):
            pass
    return b" ".join(content.split())


class _CrossCheck:
    """Runs the tests that show one attempt's change on the changes of the others."""

    def __init__(
        self,
        entries: Sequence[Entry],
        groups: dict[int, str],
        workspace: Workspace,
        seconds: float,
    ) -> None:
        self._entries = {entry.attempt: entry for entry in entries}
        self._groups = groups
        self._workspace = workspace
        self._deadline = time.monotonic() + seconds
        # By change and tests: what the same tests say of the same change is asked once.
        self._known: dict[tuple[str, bytes, tuple[str, ...]], int | None] = {}

    def score(self, attempt: int) -> tuple[int, int]:
        """Return how many of the others' tests the attempt passes, and how many were run."""
        passed = total = 0
        for donor in self._entries.values():
            if donor.attempt == attempt or not donor.shown_by:
                continue
            found = self._passing(self._entries[attempt], donor)
            if found is not None:
                passed, total = passed + found, total + len(donor.shown_by)
        return passed, total

    def _passing(self, candidate: Entry, donor: Entry) -> int | None:
        """Return how many of the donor's tests pass on the candidate; None: could not be run."""
        if self._groups[candidate.attempt] == self._groups[donor.attempt]:
            return len(donor.shown_by)  # The donor's own proof has shown it.
        key = (self._groups[candidate.attempt], donor.tests, tuple(donor.shown_by))
        if key not in self._known:
            try:
                self._known[key] = self._run(candidate.source, donor.tests, donor.shown_by)
            except (SandboxError, ValueError):  # ValueError: they do not apply together.
                self._known[key] = None
        return self._known[key]

    def _run(self, source: bytes, tests: bytes, wanted: Sequence[str]) -> int | None:
        if self._deadline - time.monotonic() < 1:
            return None
        workspace = self._workspace
        passed = ran = 0
        with workspace.room.sandbox(workspace.snapshot, source, tests) as sandbox:
            for selector in sorted({_file(test) for test in wanted}):
                left = max(1.0, self._deadline - time.monotonic())
                statuses = workspace.runner.run(sandbox, selector, left).statuses
                ran += len(statuses)
                passed += sum(
                    statuses.get(test) == "passed" for test in wanted if _file(test) == selector
                )
        return passed if ran else None


def _file(test: str) -> str:
    """Return what to run for a test: its file where the id names one, else everything."""
    return test.partition("::")[0] if "::" in test else "all"


def _is_test(file: FileDiff) -> bool:
    return all(map(is_test_file, file.paths))
