"""What the tools remember of a run: the last test reports, and the change they were made on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from reapair.sandbox.base import Sandbox
from reapair.tools.testing import TestReport


class Progress:
    """Shared by `run_tests` and `submit`.

    Args:
        diff: returns the patch text of what was changed so far.
    """

    def __init__(self, diff: Callable[[Sandbox], str]) -> None:
        self.diff = diff
        self._known: TestReport | None = None
        self._runs: dict[str, dict[str, str]] = {}

    def last_report(self, report: TestReport) -> TestReport | None:
        """Return what was last known of the tests in `report`, or None where nothing was."""
        if self._known is None or not self._known.statuses.keys() & report.statuses.keys():
            return None
        return self._known

    def tests_ran(self, sandbox: Sandbox, selector: str, report: TestReport) -> None:
        """Remember a run, and the state of the repository it was made on."""
        self._runs.setdefault(fingerprint(self.diff(sandbox)), {})[selector] = report.counts
        before = {} if self._known is None else self._known.statuses
        self._known = TestReport(statuses={**before, **report.statuses})

    def runs_on(self, patch: str) -> dict[str, str]:
        """Return selector and counts of the runs made on exactly this change."""
        return self._runs.get(fingerprint(patch), {})


def fingerprint(patch: str) -> str:
    """Return a digest of a patch, to tell whether the change is still the same."""
    return hashlib.sha256(patch.encode("utf-8", "surrogateescape")).hexdigest()
