"""Running a repository's tests and knowing, test by test, what became of them."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from dataclasses import dataclass, field
from importlib import resources

from reapair.sandbox.base import ExecResult, Sandbox, SandboxError
from reapair.tools.observation import clip, plain, stable
from reapair.tools.outcomes import Outcome, Status, recorded, unittest_outcome, verbose_outcome

DEFAULT_COMMAND = "python -m pytest"
DEFAULT_TIMEOUT = 600.0

_ORDER: tuple[Status, ...] = ("failed", "error", "passed", "skipped", "missing")
_REPORT_LIMIT = 128 * 1024 * 1024
_PREPARE = (
    'd=$(mktemp -d "${TMPDIR:-/tmp}/tests.XXXXXX") && cat > "$d/reapair_recorder.py" '
    '&& printf %s "$d"'
)
_NOT_LOADED = b"No module named 'reapair_recorder'"


@dataclass(frozen=True, slots=True)
class TestReport:
    """What one run of the tests showed.

    `statuses` maps test ids, sorted, to what became of them; a file that could not be collected
    stands there under its own path as an error. `failures` has the condensed text of each that
    failed. `exit_code` is None when the run was ended. `collected_ok` is False when some tests
    could not even be collected, or nothing could be recognised at all. `hanging` names the test
    that ran when the time was up.
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
            takes `python -m pytest`, or unittest where there is no pytest. A command that runs
            pytest in the end, also through make or a script, is understood test by test.
    """

    __test__ = False

    def __init__(self, test_command: str | None = None) -> None:
        self.command = test_command or DEFAULT_COMMAND
        self._chosen = bool(test_command)

    def run(
        self, sandbox: Sandbox, selector: str = "all", timeout: float = DEFAULT_TIMEOUT
    ) -> TestReport:
        """Run what the selector names.

        Args:
            sandbox: where the repository is; started.
            selector: `all`, a file, a folder, or a pytest node id, relative to the workspace.
            timeout: seconds until the run is ended; what is known by then is reported.

        Raises SandboxError when the sandbox is gone or cannot hold the report.
        """
        chosen = "" if selector == "all" else selector
        report = self._run(sandbox, _unittest_for(self.command, chosen), chosen, timeout)
        if self._chosen or report.statuses or "No module named pytest" not in report.output_tail:
            return report
        command = "python -m unittest discover -v"
        return self._run(sandbox, _unittest_for(command, chosen), chosen, timeout)

    def _run(self, sandbox: Sandbox, command: str, selector: str, timeout: float) -> TestReport:
        prepared = sandbox.exec(_PREPARE, stdin=_recorder())
        if not prepared.ok:
            raise SandboxError("The tests cannot be run: /tmp in the sandbox cannot be written.")
        folder = prepared.text
        result, report = self._attempt(sandbox, _script(folder, command), folder, selector, timeout)
        if not report and _NOT_LOADED in result.stdout:
            script = _script(folder, command, "-v -rA --tb=short --continue-on-collection-errors")
            result, report = self._attempt(sandbox, script, folder, "", timeout)
        sandbox.exec(["rm", "-rf", folder])
        return _report(command, recorded(report, result), result, folder)

    def _attempt(
        self, sandbox: Sandbox, script: str, folder: str, selector: str, timeout: float
    ) -> tuple[ExecResult, str]:
        result = sandbox.exec(script, timeout=timeout, env={"REAPAIR_SELECTOR": selector})
        if result.died:
            raise SandboxError("The sandbox ended while the tests ran in it.")
        found = sandbox.exec(["cat", f"{folder}/report"], output_limit=_REPORT_LIMIT)
        return result, found.text


def _script(folder: str, command: str, options: str = "-p reapair_recorder") -> str:
    """Let every pytest that the command starts load our recorder, which tidies up behind itself."""
    options = f" {options} -o cache_dir={folder}/cache"
    command = re.sub(r"\bPYTHONPATH=", f"PYTHONPATH={folder}:", command)
    return (
        'command -v python >/dev/null || python() { python3 "$@"; }\n'
        f'export REAPAIR_FOLDER={folder} REAPAIR_OPTIONS="{options}" REAPAIR_TOP="$(pwd -P)"\n'
        f'export PYTHONPATH={folder}"${{PYTHONPATH:+:$PYTHONPATH}}"\n'
        f'export PYTEST_ADDOPTS="${{PYTEST_ADDOPTS-}}{options}"\n'
        f"{{ {command}\n}} 2>&1"
    )


def _recorder() -> bytes:
    return (resources.files("reapair.tools") / "pytest_recorder.py").read_bytes()


def _report(command: str, outcome: Outcome | None, result: ExecResult, folder: str) -> TestReport:
    output = plain(result.stdout).replace(folder, "/tmp/tests")  # noqa: S108 - only shown
    outcome = outcome or unittest_outcome(output) or verbose_outcome(output)
    if outcome is None and not re.search(r"\bpytest\b", command):
        status: Status = "passed" if result.ok else "failed"
        failures = {} if result.ok else {command: _end(output, 4_000)}
        outcome = Outcome({command: status}, failures)
    known = outcome or Outcome(collected_ok=False)
    return TestReport(
        statuses=dict(sorted(known.statuses.items())),
        failures=dict(sorted(known.failures.items())),
        exit_code=result.exit_code,
        command=command,
        timed_out=result.timed_out,
        collected_ok=known.collected_ok,
        output_tail=_end(output, 6_000),
        hanging=known.running if result.timed_out else None,
    )


def _end(output: str, limit: int) -> str:
    return stable(clip(output.strip("\n"), limit, tail=0.7))


def _unittest_for(command: str, selector: str) -> str:
    """Return the command with the selector in unittest's spelling; other commands as they are."""
    if not selector or not re.search(r"\bunittest\b", command):
        return command
    path, _, test = selector.partition("::")
    dotted = path.removesuffix(".py").strip("/").replace("/", ".")
    if not path.endswith(".py"):
        return f"python -m unittest discover -v -s {shlex.quote(path)} -t ."
    name = ".".join(part for part in (dotted, test.replace("::", ".")) if part)
    return f"python -m unittest -v {shlex.quote(name)}"
