"""`agent prepare`: the environment and the baseline of a run, without a model."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from reapair.agent.log.event_log import Run
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import project_folder, repository_top
from reapair.agent.surfaces.console import clean
from reapair.agent.workspace.workspace import SUITE_SECONDS, Workspace
from reapair.sandbox.recipes.find import PROBLEMS
from reapair.sandbox.shell import open_shell
from reapair.tools import TestReport

SHOWN_FAILURES = 10
"""How many failing tests are named."""

_MENDING = (
    (
        r"No module named '?([\w.]+)",
        "The module {0} is missing: install what brings it, for example with "
        "--setup-command 'pip install -e . ...'.",
    ),
    (
        r"(?:unrecognized arguments|unknown option)s?: (\S+)",
        "pytest does not know {0}: install the plugin it belongs to, with --setup-command.",
    ),
    (
        r"(\S+): (?:command )?not found",
        "The image has no {0}: name one that has it with --image.",
    ),
    (
        r"(NameResolutionError|Temporary failure in name resolution|Network is unreachable)",
        "Some tests want a network, and there is none: leave them out with --test-command.",
    ),
    (r"(Read-only file system)", "Some tests write outside the repository, /tmp and their home."),
)
_NO_TESTS = "No test ran. Say how the tests are run with --test-command."
_TOO_LONG = "The suite takes too long to be a proof: choose a part of it with --test-command."


@dataclass(frozen=True, slots=True)
class Preparation:
    """What `agent prepare` found out.

    Attributes:
        sandbox: the kind of engine.
        project: folder that the tests run in, "" for the top of the repository.
        test_command: runs the suite.
        counts: how many tests have which status.
        failing: the first of those that fail.
        reused: the environment was there already.
        setup_seconds, suite_seconds: how long both took.
        notes: what is to be known about the set-up.
        mend: what to do about failures, one line each.
    """

    sandbox: str
    project: str
    test_command: str
    counts: dict[str, int]
    failing: list[str]
    reused: bool
    setup_seconds: float
    suite_seconds: float
    notes: list[str]
    mend: list[str]

    @property
    def ready(self) -> bool:
        """True when at least one test passed."""
        return self.counts.get("passed", 0) > 0

    def told(self) -> list[str]:
        """Return it in lines for people."""
        minutes = (self.setup_seconds + self.suite_seconds) / 60
        made = "found again" if self.reused else "made"
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        return [
            f"sandbox: {self.sandbox}, environment {made} in {self.setup_seconds:.1f} s",
            *([f"project: {self.project}"] if self.project else []),
            f"test command: {self.test_command}",
            f"tests: {counts or 'none ran'}, in {self.suite_seconds:.1f} s",
            f"in all: {minutes:.1f} minutes",
            *(f"  failing: {test}" for test in self.failing),
            *(f"note: {note}" for note in self.notes),
            *(f"to mend: {line}" for line in self.mend),
        ]


def prepare(
    repository: Path | str = ".",
    settings: Settings | None = None,
    *,
    on_line: Callable[[str], None] = lambda _: None,
    on_ready: Callable[[Preparation], None] = lambda _: None,
    shell: bool = False,
) -> Preparation:
    """Make the environment of a run and run the suite in it, both in bounded time.

    Args:
        repository: a directory inside a git repository; only read.
        settings: default: from the environment.
        on_line: is told what happens, line by line.
        on_ready: gets the result before the shell opens.
        shell: then connect the terminal with a shell in a fresh sandbox.

    Raises UsageError, and SandboxError when there is no sandbox or the user's own set-up fails.
    """
    settings = settings or Settings()
    top = repository_top(Path(repository))
    project = project_folder(Path(repository), settings.project)
    settings = settings.model_copy(update={"project": project})
    with TemporaryDirectory(prefix="prepare-") as place:
        run = Run(Path(place) / "run", "prepare")
        workspace = Workspace(run, settings, top)
        try:
            preparation = _prepare(workspace, on_line)
            on_ready(preparation)
            if shell:
                open_shell(workspace.room.start(workspace.snapshot))
        finally:
            workspace.close()
            run.close()
    return preparation


def _prepare(workspace: Workspace, on_line: Callable[[str], None]) -> Preparation:
    started = time.monotonic()
    workspace.prepare(on_line)
    sandbox = workspace.room.start(workspace.snapshot)
    prepared, problems = workspace.prepared, sandbox.exec(f"cat {PROBLEMS} 2>/dev/null").text
    begun = time.monotonic()
    on_line(f"Running the tests: {workspace.runner.command}")
    report = workspace.runner.run(sandbox, "all", SUITE_SECONDS)
    ended = time.monotonic()
    workspace.room.end(sandbox)
    return Preparation(
        sandbox=prepared.engine.kind,
        project=prepared.project,
        test_command=report.command,
        counts=dict(sorted(Counter(report.statuses.values()).items())),
        failing=report.having("failed", "error")[:SHOWN_FAILURES],
        reused=prepared.environment.reused,
        setup_seconds=round(begun - started, 2),
        suite_seconds=round(ended - begun, 2),
        notes=[*prepared.notes, *problems.splitlines()],
        mend=_mend(report),
    )


def _mend(report: TestReport) -> list[str]:
    """Say what would help, as far as the words of the failures show it."""
    advice = [_NO_TESTS] if not report.statuses else []
    if report.timed_out:
        advice.append(_TOO_LONG)
    said = "\n".join((*list(report.failures.values())[:100], report.output_tail))
    for pattern, words in _MENDING:
        for found in dict.fromkeys(re.findall(pattern, said)[:3]):
            advice.append(words.format(found))
    return list(dict.fromkeys(advice))


def prepare_and_show(
    repository: Path, settings: Settings, *, shell: bool = False, as_json: bool = False
) -> bool:
    """Prepare and print the result, what happens on the way to standard error when it is JSON.

    Returns whether a run could work. Raises what `prepare` raises.
    """

    def say(line: str) -> None:
        print(f"  {clean(line)}", file=sys.stderr if as_json else sys.stdout, flush=True)

    def show(found: Preparation) -> None:
        lines = [json.dumps(asdict(found))] if as_json else [clean(line) for line in found.told()]
        print("\n".join(lines), flush=True)

    return prepare(repository, settings, on_line=say, on_ready=show, shell=shell).ready
