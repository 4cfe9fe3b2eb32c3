"""What the tools remember of a run: the last test statuses, and the change they were made on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from reapair.sandbox.base import Sandbox
from reapair.tools.testing.test_outcomes import Status
from reapair.tools.testing.test_runner import TestReport


class Progress:
    """Shared by `run_tests` and `submit`.

    Args:
        diff: returns the patch text of what was changed so far.
    """

    def __init__(self, diff: Callable[[Sandbox], str]) -> None:
        self.diff = diff
        self._known: dict[str, Status] = {}
        self._runs: dict[str, dict[str, str]] = {}

    def last_report(self, report: TestReport) -> TestReport | None:
        """Return what was last known of the tests in `report`, or None where nothing was."""
        known = self._known.keys() & report.statuses.keys()
        return TestReport(self._known) if known else None

    def tests_ran(
        self, change: str, selector: str, counts: str, statuses: Mapping[str, Status]
    ) -> None:
        """Remember a run of the tests.

        Args:
            change: fingerprint of the patch that was in the repository.
            counts: the outcome in words.
        """
        self._runs.setdefault(change, {})[selector] = counts
        self._known = {**self._known, **statuses}

    def runs_on(self, patch: str) -> dict[str, str]:
        """Return selector and counts of the runs made on exactly this change."""
        return self._runs.get(fingerprint(patch), {})


def fingerprint(patch: str) -> str:
    """Return a digest of a patch, to tell whether the change is still the same."""
    return hashlib.sha256(patch.encode("utf-8", "surrogateescape")).hexdigest()
