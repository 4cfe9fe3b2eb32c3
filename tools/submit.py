"""The tool `submit`: the first call reviews, the second hands in."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field

from reapair.sandbox.base import Sandbox
from reapair.sandbox.git.patch import Patch
from reapair.tools.base import Observation, Parameters, Tool, ToolError
from reapair.tools.files import is_test_file
from reapair.tools.observation import clip, listed
from reapair.tools.testing.test_runner import Progress, fingerprint

DIFF_LIMIT = 8_000
"""Bytes of the diff shown for review."""

MOST_REVIEWS = 2

_BINARY = re.compile(r"^GIT binary patch\n(?:(?!diff --git ).*\n?)*", re.MULTILINE)


class SubmitParameters(Parameters):
    """What `submit` takes."""

    summary: str = Field(
        description="What was wrong, what you changed, and what you assumed, in a few sentences."
    )


class Submit(Tool[SubmitParameters]):
    """Shows the change, then hands it in; `asks_for_tests` where there is a tool that runs them."""

    name = "submit"
    description = (
        "Hand in your change. The first call shows it for review; calling again hands it in and "
        "ends the task."
    )
    parameters = SubmitParameters
    changes_files = False

    def __init__(self, progress: Progress, *, asks_for_tests: bool = True) -> None:
        self._progress = progress
        self._asks_for_tests = asks_for_tests
        self._reviewed = ""
        self._reviews = 0

    def run(self, arguments: SubmitParameters, sandbox: Sandbox) -> Observation:
        """Review, or hand in what was reviewed."""
        summary = arguments.summary.strip()
        if not summary:
            raise ToolError("summary is empty. Say what was wrong and what you changed.")
        patch = self._progress.diff(sandbox)
        change = fingerprint(patch)
        if self._reviews and (change == self._reviewed or self._reviews >= MOST_REVIEWS):
            return Observation("Handed in.", submitted=summary)
        again = self._reviews > 0
        data = {"reviewed": change}
        self.restore(data)
        runs = self._progress.runs_on(patch) if self._asks_for_tests else None
        return Observation(_review(patch, runs, again), data=data)

    def restore(self, data: dict[str, Any]) -> None:
        """Remember a review."""
        if "reviewed" in data:
            self._reviewed, self._reviews = data["reviewed"], self._reviews + 1


def _review(patch: str, runs: dict[str, str] | None, again: bool) -> str:
    if not patch.strip():
        return (
            "Not handed in yet: nothing in the repository has changed. "
            "Fix the issue first. If there is nothing to fix, call submit again."
        )
    head = "The change is another one than you reviewed" if again else "Not handed in yet"
    rows = [f"{head}. Review it:", "<diff>", clip(_readable(patch), DIFF_LIMIT), "</diff>"]
    created, changed = changed_files(patch)
    scratch = [name for name in created if not is_test_file(name)]
    removed = removed_from(patch)
    tests = [name for name in changed if is_test_file(name) and name in removed]
    if scratch:
        rows.append(f"New files: {listed(scratch)}. Delete those that are only scratch.")
    if tests:
        rows.append(
            f"Lines of existing tests changed: {listed(tests)}. Undo that unless the issue asks."
        )
    if runs:
        told = "; ".join(f"{selector}: {counts}" for selector, counts in runs.items())
        rows.append(f"Tests run on this change: {told}.")
    elif runs is not None:
        rows.append("Tests run on this change: none. Run them before you hand in.")
    rows.append("If the change is right and complete, call submit again. Otherwise go on working.")
    return "\n".join(rows)


def _readable(patch: str) -> str:
    """Return the patch without what only Git reads: object names, the bytes of binary files."""
    patch = re.sub(r"^index \w+\.\..*\n", "", patch.rstrip("\n"), flags=re.MULTILINE)
    return _BINARY.sub("(binary file)\n", patch).rstrip("\n")


def removed_from(patch: str) -> set[str]:
    """Return the files that lose lines, or go altogether: adding a test takes nothing away."""
    files = Patch(patch.encode("utf-8", "surrogateescape")).files
    losing = (file for file in files if file.removed or file.new is None)
    return {path.decode("utf-8", "replace") for file in losing for path in file.changed}


def changed_files(patch: str) -> tuple[list[str], list[str]]:
    """Return the paths a Git patch creates, and those it changes or deletes, sorted."""
    files = Patch(patch.encode("utf-8", "surrogateescape")).files
    created = {file.new for file in files if file.new is not None and file.new != file.old}
    changed = {path for file in files for path in file.changed} - created
    return (
        sorted(path.decode("utf-8", "replace") for path in created),
        sorted(path.decode("utf-8", "replace") for path in changed),
    )
