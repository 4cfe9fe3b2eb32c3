"""Running a repository's tests and knowing, test by test, what became of them."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources

from reapair.sandbox.base import Sandbox, SandboxError
from reapair.tools.observation import clip, plain, stable
from reapair.tools.testing.runners import (
    DEFAULT_COMMAND,
    Finished,
    Request,
    Runner,
    Tree,
    choose,
    found,
    look,
)
from reapair.tools.testing.test_outcomes import Status, SuiteOutcome, disagreement

DEFAULT_TIMEOUT = 600.0

_ORDER: tuple[Status, ...] = ("failed", "error", "passed", "skipped", "missing")
_REPORT_LIMIT = 128 * 1024 * 1024
_PREPARE = 'd=$(mktemp -d "${TMPDIR:-/tmp}/tests.XXXXXX") && { %s\n} && printf %%s "$d"'
_NOT_LOADED = b"No module named 'reapair_recorder'"


@dataclass(frozen=True, slots=True)
class TestReport:
    """What one run of the tests showed.

    `statuses` maps test ids, sorted, to what became of them; a file that could not be collected
    stands there under its own path as an error. `failures` has the condensed text of each that
    failed. `exit_code` is None when the run was ended. `collected_ok` is False when some tests
    could not even be collected, or nothing could be recognised at all. `hanging` names the test
    that ran when the time was up. `inconsistent` says where the exit code, the report and the log
    contradict each other; "" where they agree.
    """

    __test__ = False

    statuses: dict[str, Status]
    failures: dict[str, str] = field(default_factory=dict)
    exit_code: int | None = 0
    command: str = DEFAULT_COMMAND
    timed_out: bool = False
    collected_ok: bool = True
    output_tail: str = ""
    hanging: str | None = None
    inconsistent: str = ""

    def having(self, *wanted: Status) -> list[str]:
        """Return the sorted ids of the tests with one of these statuses."""
        return [test for test, status in self.statuses.items() if status in wanted]

    @property
    def counts(self) -> str:
        """How many tests have which status, in a fixed order: '1 failed, 5 passed'."""
        numbers = Counter(self.statuses.values())
        told = [f"{numbers[name]} {name}" for name in _ORDER if numbers[name]]
        return ", ".join(told) or "no tests"

    def summary(self) -> dict[str, str | int]:
        """Return the command and the number of tests with each status, for the log."""
        numbers = Counter(self.statuses.values())
        return {"command": self.command, **{name: numbers[name] for name in sorted(_ORDER)}}


class TestRunner:
    """Runs tests in a sandbox.

    Args:
        test_command: the user's command, run by the sandbox's shell at the repository root; None
            takes what the repository's files show. A command that ends in a runner we know, also
            through make, tox or a script, is understood test by test.
    """

    __test__ = False

    def __init__(self, test_command: str | None = None) -> None:
        self.command = test_command or DEFAULT_COMMAND

    def run(
        self, sandbox: Sandbox, selector: str = "all", timeout: float = DEFAULT_TIMEOUT
    ) -> TestReport:
        """Run what the selector names.

        Args:
            sandbox: where the repository is; started.
            selector: `all`, a file, a folder, or a test id, relative to the workspace; a bare name
                where `takes_names` says so.
            timeout: seconds until the run is ended; what is known by then is reported.

        Raises SandboxError when the sandbox is gone or cannot hold the report.
        """
        chosen = "" if selector == "all" else selector
        command, tree = self._decided(sandbox)
        report = self._run(sandbox, command, tree, chosen, timeout)
        if report.statuses or command != DEFAULT_COMMAND or _NO_PYTEST not in report.output_tail:
            return report
        return self._run(sandbox, "python -m unittest discover -v", tree, chosen, timeout)

    def takes_names(self, sandbox: Sandbox) -> bool:
        """Return whether a selector may be the name of a test, without a path."""
        return choose(*self._decided(sandbox)).selects_names

    def _decided(self, sandbox: Sandbox) -> tuple[str, Tree]:
        tree = look(sandbox, self.command)
        return (found(tree) if self.command == DEFAULT_COMMAND else self.command), tree

    def _run(
        self, sandbox: Sandbox, command: str, tree: Tree, selector: str, timeout: float
    ) -> TestReport:
        runner = choose(command, tree)
        recorder = (resources.files("reapair.tools.testing") / runner.recorder).read_bytes()
        prepared = sandbox.exec(_PREPARE % runner.preparation, stdin=recorder)
        if not prepared.ok:
            raise SandboxError("The tests cannot be run: /tmp in the sandbox cannot be written.")
        request = Request(command, selector, prepared.text, tree)
        ended = _attempt(sandbox, runner, request, timeout)
        if not ended.report and _NOT_LOADED in ended.result.stdout:
            ended = _attempt(sandbox, runner, replace(request, selector=""), timeout, _BY_WORDS)
        sandbox.exec(["rm", "-rf", request.folder])
        return _report(command, runner, ended)


_NO_PYTEST = "No module named pytest"
_BY_RECORDER = "-p reapair_recorder"
_BY_WORDS = "-v -rA --tb=short --continue-on-collection-errors"


def _attempt(
    sandbox: Sandbox,
    runner: Runner,
    request: Request,
    timeout: float,
    options: str = _BY_RECORDER,
) -> Finished:
    result = sandbox.exec(
        _script(request.folder, runner.command(request), options),
        timeout=timeout,
        env={"REAPAIR_SELECTOR": request.selector},
        output_limit=runner.output_limit,
    )
    if result.died:
        raise SandboxError("The sandbox ended while the tests ran in it.")
    report = sandbox.exec(["cat", f"{request.folder}/report"], output_limit=_REPORT_LIMIT)
    output = plain(result.stdout).replace(request.folder, "/tmp/tests")  # noqa: S108 - only shown
    return Finished(request, report.stdout, output, result)


def _script(folder: str, command: str, options: str) -> str:
    """Let every pytest that the command starts load our recorder, which tidies up behind itself."""
    options = f" {options} -o cache_dir={folder}/cache"
    passed = "REAPAIR_FOLDER REAPAIR_OPTIONS REAPAIR_TOP REAPAIR_SELECTOR PYTHONPATH PYTEST_ADDOPTS"
    return (
        'command -v python >/dev/null || python() { python3 "$@"; }\n'
        f'export REAPAIR_FOLDER={folder} REAPAIR_OPTIONS="{options}" REAPAIR_TOP="$(pwd -P)"\n'
        f'export PYTHONPATH={folder}"${{PYTHONPATH:+:$PYTHONPATH}}"\n'
        f'export PYTEST_ADDOPTS="${{PYTEST_ADDOPTS-}}{options}"\n'
        # tox keeps the environment from its commands; version 3 and 4 have a variable each.
        f'export TOX_TESTENV_PASSENV="{passed}"\n'
        f'export TOX_OVERRIDE="testenv.pass_env+={passed.replace(" ", ",")}"\n'
        f"{{ {command}\n}} 2>&1"
    )


def _report(command: str, runner: Runner, ended: Finished) -> TestReport:
    output, result = ended.output, ended.result
    outcome = runner.outcome(ended)
    if outcome is None and runner.any_command and not re.search(r"\bpytest\b", command):
        status: Status = "passed" if result.ok else "failed"
        failures = {} if result.ok else {command: _end(output, 4_000)}
        outcome = SuiteOutcome({command: status}, failures)
    known = outcome or SuiteOutcome(collected_ok=False)
    output = output if known.log is None else known.log
    return TestReport(
        statuses=dict(sorted(known.statuses.items())),
        failures=dict(sorted(known.failures.items())),
        exit_code=result.exit_code,
        command=command,
        timed_out=result.timed_out,
        collected_ok=known.collected_ok,
        output_tail=_end(output, 6_000),
        hanging=known.running if result.timed_out else None,
        inconsistent=disagreement(known, result, command, output),
    )


def _end(output: str, limit: int) -> str:
    return stable(clip(output.strip("\n"), limit, tail=0.7))


class Progress:
    """The last test statuses, and the change they were made on; `run_tests` and `submit` share it.

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
