"""Running tests under a recorder: what each of them executes, and with which values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from reapair.agent.proof.suites import run_each
from reapair.sandbox import Sandbox

if TYPE_CHECKING:
    from reapair.sandbox import ExecResult
    from reapair.tools import TestReport, TestRunner

_PREPARE = (
    'd=$(mktemp -d "${TMPDIR:-/tmp}/spectrum.XXXXXX") && cat > "$d/reapair_spectrum.py" '
    '&& printf %s "$d"'
)
RECORDING_SECONDS = 120.0
"""Longest that tests run under the recorder, which makes them slower."""

_LIMIT = 64 * 1024 * 1024


class Call(BaseModel):
    """One call of a function: arguments by name, and what came of it. Nothing of it is believed."""

    path: str
    line: int
    arguments: list[tuple[str, str]] = []
    returned: str | None = None
    raised: str | None = None

    @property
    def text(self) -> str:
        """The call as a person would write it down."""
        given = ", ".join(f"{name}={value}" for name, value in self.arguments)
        if self.raised is not None:
            return f"({given}) raised {self.raised}"
        return f"({given}) returned {self.returned}"


class _Entry(BaseModel):
    test: str
    seen: dict[str, list[int]] = {}
    latest: list[tuple[str, int]] = []
    calls: list[Call] = []


@dataclass(frozen=True, slots=True)
class Recording:
    """What tests did under the recorder.

    Attributes:
        report: what became of the tests.
        lines: by test and path, the executed lines inside functions.
        latest: by test, path and line of the functions that were entered, the last one first.
        calls: by test, the calls of the functions that were asked for.
    """

    report: TestReport
    lines: dict[str, dict[str, frozenset[int]]] = field(default_factory=dict)
    latest: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    calls: dict[str, list[Call]] = field(default_factory=dict)


def record(
    runner: TestRunner,
    sandbox: Sandbox,
    selectors: Sequence[str],
    seconds: float,
    functions: Iterable[tuple[str, int]] = (),
) -> Recording:
    """Run tests and return what they executed; empty where they are not pytest's.

    Args:
        functions: path and first line, with decorators, of functions whose values are wanted
            instead of lines.
    """
    source = (resources.files("reapair.agent.guided") / "spectrum_plugin.py").read_bytes()
    folder = sandbox.exec(_PREPARE, stdin=source).text
    sandbox.write(f"{folder}/task", json.dumps([list(each) for each in functions]).encode())
    variables = {
        "PYTHONPATH": folder,
        "PYTEST_ADDOPTS": "-p reapair_spectrum",
        "REAPAIR_SPECTRUM": folder,
    }
    watched = _WithVariables(sandbox, variables)
    report = run_each(runner, watched, selectors, seconds)
    seen = sandbox.exec(["cat", f"{folder}/seen"], output_limit=_LIMIT).text
    sandbox.exec(["rm", "-rf", folder])
    return _read(report, seen)


def _read(report: TestReport, text: str) -> Recording:
    recording = Recording(report)
    for row in text.splitlines():
        try:
            entry = _Entry.model_validate_json(row)
        except ValidationError:
            continue
        lines = {path: frozenset(numbers) for path, numbers in entry.seen.items()}
        recording.lines[entry.test] = lines
        recording.latest[entry.test] = entry.latest
        recording.calls[entry.test] = entry.calls
    return recording


class _WithVariables(Sandbox):
    """A started sandbox whose commands have more in their environment."""

    def __init__(self, sandbox: Sandbox, variables: Mapping[str, str]) -> None:
        self.kind = sandbox.kind
        self._sandbox = sandbox
        self._variables = dict(variables)

    def start(self) -> None:
        """Do nothing: the sandbox runs."""

    def close(self) -> None:
        """Do nothing: the sandbox belongs to somebody else."""

    def exec(
        self,
        command: str | Sequence[str],
        *,
        timeout: float = 60.0,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        output_limit: int = 64 * 1024,
    ) -> ExecResult:
        """Run a command with the variables."""
        return self._sandbox.exec(
            command,
            timeout=timeout,
            stdin=stdin,
            env=self._variables | dict(env or {}),
            output_limit=output_limit,
        )
