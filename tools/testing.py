"""Running a repository's tests and knowing, test by test, what became of them."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from dataclasses import dataclass, field
from importlib import resources
from typing import Literal

from reapair.sandbox.base import ExecResult, Sandbox
from reapair.tools.observation import clip, stable

Status = Literal["passed", "failed", "error", "skipped", "missing"]

DEFAULT_COMMAND = "python -m pytest"
DEFAULT_TIMEOUT = 600.0

_ORDER: tuple[Status, ...] = ("failed", "error", "passed", "skipped", "missing")
_REPORT_LIMIT = 64 * 1024 * 1024
_UNITTEST = re.compile(
    r"^(\w+) \(([\w.]+)\)(?:\n.*)? \.\.\. (ok|FAIL|ERROR|skipped|expected failure)", re.M
)
_UNITTEST_STATUS: dict[str, Status] = {
    "ok": "passed",
    "FAIL": "failed",
    "ERROR": "error",
    "skipped": "skipped",
    "expected failure": "skipped",
}


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
        return (
            ", ".join(f"{numbers[name]} {name}" for name in _ORDER if numbers[name]) or "no tests"
        )

    def summary(self) -> dict[str, str | int]:
        """Return the command and the number of tests with each status, for the log."""
        numbers = Counter(self.statuses.values())
        return {"command": self.command, **{name: numbers[name] for name in sorted(_ORDER)}}


class TestRunner:
    """Runs tests in a sandbox.

    Args:
        test_command: the user's command, run by the sandbox's shell at the repository root; None
            takes `python -m pytest`. One that runs pytest in the end (also through make or a
            script) is understood test by test.
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
            selector: `all`, a file, a folder, or a pytest node id, relative to the workspace.
            timeout: seconds until the run is ended; what is known by then is reported.

        Raises SandboxError only when the sandbox itself is gone.
        """
        prepared = sandbox.exec(_PREPARE, stdin=_recorder())
        folder = prepared.text.strip()
        chosen = "" if selector == "all" else selector
        result = sandbox.exec(
            self._script(folder, chosen), timeout=timeout, env={"REAPAIR_SELECTOR": chosen}
        )
        report = sandbox.exec(
            f"cat {shlex.quote(folder)}/report 2>/dev/null; rm -rf {shlex.quote(folder)}",
            output_limit=_REPORT_LIMIT,
        )
        return self._read(report.text, result)

    def _script(self, folder: str, selector: str) -> str:
        where = shlex.quote(folder)
        command = self.command
        if selector and re.search(r"\bunittest\b", command):
            command = f"python -m unittest -v {shlex.quote(_dotted(selector))}"
        return (
            f"export REAPAIR_REPORT={where}/report PYTHONDONTWRITEBYTECODE=1\n"
            f'export PYTHONPATH={where}"${{PYTHONPATH:+:$PYTHONPATH}}"\n'
            f'export PYTEST_ADDOPTS="${{PYTEST_ADDOPTS-}} -p reapair_recorder '
            f'-o cache_dir={where}/cache"\n'
            f"{{ {command}\n}} 2>&1"
        )

    def _read(self, recorded: str, result: ExecResult) -> TestReport:
        entries = _entries(recorded)
        output = stable(clip(result.text, 8_000, tail=0.8))
        if entries:
            return _from_recorder(entries, result, self.command, output)
        statuses = _from_unittest(result.text)
        known = bool(statuses)
        if not statuses and not re.search(r"\bpytest\b", self.command):
            status: Status = "passed" if result.ok else "failed"
            statuses = {self.command: status}
        return TestReport(
            statuses=dict(sorted(statuses.items())),
            failures={test: "" for test, status in statuses.items() if status == "failed"},
            exit_code=result.exit_code,
            command=self.command,
            timed_out=result.timed_out,
            collected_ok=known or result.ok,
            output_tail=output,
        )


_PREPARE = 'd=$(mktemp -d) && cat > "$d/reapair_recorder.py" && printf %s "$d"'


def _recorder() -> bytes:
    return (resources.files("reapair.tools") / "pytest_recorder.py").read_bytes()


def _dotted(selector: str) -> str:
    return re.sub(r"\.py$|\.py(?=::)", "", selector).replace("::", ".").replace("/", ".")


def _entries(recorded: str) -> list[dict[str, object]]:
    """Return the recorded lines; one that was cut off by the end of its process is left out."""
    found = []
    for line in recorded.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            found.append(entry)
    return found


def _from_recorder(
    entries: list[dict[str, object]], result: ExecResult, command: str, output: str
) -> TestReport:
    statuses: dict[str, Status] = {}
    failures: dict[str, str] = {}
    running: dict[str, None] = {}
    collected_ok = True
    for entry in entries:
        test = str(entry.get("id", ""))
        if entry["kind"] == "collect":
            collected_ok = False
            statuses[test], failures[test] = "error", _condensed(entry)
        elif entry["kind"] == "start":
            running[test] = None
        elif entry["kind"] == "report":
            status = _status(entry)
            if status is not None and statuses.get(test) not in ("failed", "error"):
                statuses[test] = status
            if status in ("failed", "error"):
                failures[test] = _condensed(entry)
            if entry.get("when") == "teardown":
                running.pop(test, None)
    ended = any(entry["kind"] == "end" for entry in entries)
    hanging = None if ended else next(iter(running), None)
    if hanging is not None:
        statuses[hanging] = "failed"
        failures[hanging] = _cut_off(result)
    return TestReport(
        statuses=dict(sorted(statuses.items())),
        failures=dict(sorted(failures.items())),
        exit_code=result.exit_code,
        command=command,
        timed_out=result.timed_out,
        collected_ok=collected_ok,
        output_tail=output,
        hanging=hanging if result.timed_out else None,
    )


def _cut_off(result: ExecResult) -> str:
    if result.timed_out:
        return "It was still running when the time was up."
    return f"The test process ended during this test (exit code {result.exit_code})."


def _status(entry: dict[str, object]) -> Status | None:
    """Return what a phase says about its test: a failure outside of the call is an error."""
    outcome, when = entry.get("outcome"), entry.get("when")
    if outcome == "failed":
        return "failed" if when == "call" else "error"
    if outcome == "skipped":
        return "skipped"
    return "passed" if outcome == "passed" and when == "call" else None


_FRAME = re.compile(r"^(\S.*?):(\d+): (.*)$")


def _condensed(entry: dict[str, object]) -> str:
    """Keep the frames inside the repository, the assertion, and the end of captured output."""
    kept: list[str] = []
    inside = True
    for line in str(entry.get("text", "")).split("\n"):
        frame = _FRAME.match(line)
        if frame:
            inside = not frame.group(1).startswith(("/", "..", "<"))
        if line.startswith("E ") or (inside and line.strip()):
            kept.append(line.rstrip())
    text = clip("\n".join(kept), 2_000)
    output = entry.get("output")
    for title, captured in output if isinstance(output, list) else []:
        if captured.strip():
            text += f"\n{title}:\n{clip(captured.strip(), 600)}"
    return stable(text)


def _from_unittest(output: str) -> dict[str, Status]:
    """Read the verbose output of unittest; ids are dotted names."""
    found: dict[str, Status] = {}
    for name, place, word in _UNITTEST.findall(output):
        test = place if place.endswith(f".{name}") else f"{place}.{name}"
        found[test] = _UNITTEST_STATUS[word]
    return found
