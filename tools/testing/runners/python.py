"""pytest and unittest, recorded from inside; their printed output where that is not possible."""

from __future__ import annotations

import re
import shlex

from reapair.tools.testing.runners.base import Finished, Request, Runner
from reapair.tools.testing.runners.tap import tap_outcome
from reapair.tools.testing.test_outcomes import (
    SuiteOutcome,
    recorded,
    unittest_outcome,
    verbose_outcome,
)

_SUMMARY = re.compile(
    r"^=+ (?:.*, )?\d+ (?:passed|failed|error|skipped|xfailed|xpassed)[^\n]* in [\d.]+s.*=+$", re.M
)
_COUNT = re.compile(r"(\d+) (passed|failed|error|xpassed|subtests? passed|subtests? failed)")


class Python(Runner):
    """pytest and unittest, called directly, by tox, nox, make or a script.

    It is asked last and takes every command: the output of one that starts neither is read as
    unittest's or TAP's, and the command counts as one test where that gives nothing.
    """

    name = "pytest"
    selects_names = False
    called = re.compile("")
    any_command = True

    def command(self, request: Request) -> str:
        """Return the command; `python -m unittest` loads no more than what is selected.

        Every other command runs as it is, and the recorder applies the selector.
        """
        command, selector = request.command, request.selector
        command = re.sub(r"\bPYTHONPATH=", f"PYTHONPATH={request.folder}:", command)
        if not selector or not re.search(r"\bunittest\b", command):
            return command
        path, _, test = selector.partition("::")
        dotted = path.removesuffix(".py").strip("/").replace("/", ".")
        if "." in path and "/" not in path and not path.endswith(".py"):
            return f"python -m unittest -v {shlex.quote(path)}"
        if not path.endswith(".py"):
            return f"python -m unittest discover -v -s {shlex.quote(path)} -t ."
        name = ".".join(part for part in (dotted, test.replace("::", ".")) if part)
        return f"python -m unittest -v {shlex.quote(name)}"

    def outcome(self, finished: Finished) -> SuiteOutcome | None:
        """Read the recorder's lines, else the output."""
        found = recorded(finished.report.decode("utf-8", "replace"), finished.result)
        if found is not None:
            found.told = _told(finished.output)
            return found
        output = finished.output
        return unittest_outcome(output) or verbose_outcome(output) or tap_outcome(output)


def _told(output: str) -> dict[str, int] | None:
    """Return what pytest's own last line counts; None where there are none or several."""
    lines = _SUMMARY.findall(output)
    if len(lines) != 1:
        return None
    counts = {"passed": 0, "failed": 0}
    for number, word in _COUNT.findall(lines[0]):
        counts["passed" if word.endswith("passed") else "failed"] += int(number)
    return counts
