"""A run that has something of everything to show, for pictures and for tests of what people see."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.proved import FAST, proved_task
from support.scripted_server import ScriptedServer
from support.seeds import by_attempt
from support.tasks import Task

ISSUE = """# mean() is too large

`mean([2, 4])` gives 6.0 instead of 3.0. It seems to divide by one less than there are values,
which is right for a sample's variance but not here.

Expected: the arithmetic mean of the values.
"""

BAD = 'return sum(values) / (len(values) - 1)  # <script>alert("\x1b[31m")</script> \u202e'


def said(name: str, reasoning: str, /, **arguments: Any) -> dict[str, Any]:
    """Return an answer that thinks and makes one call."""
    return {"reasoning": reasoning, "tool_calls": [{"name": name, "arguments": arguments}]}


def showcase(directory: Path) -> Task:
    """Make the task's repository."""
    task = proved_task(directory)
    return Task(task.name, ISSUE, task.repository, task.gold, task.sabotage)


def turns() -> list[dict[str, Any]]:
    """Return answers that take a detour and arrive."""
    end = said("submit", "It is done.", summary="mean() divides by the number of values now.")
    return [
        said("search", "The issue names mean(). Where is it, and who uses it?", pattern="mean"),
        said("read", "One definition. I will read it in full.", path="calc.py"),
        said("run_tests", "Is there a test that shows the problem already?", selector="all"),
        said("bash", "A quick look at the values.", command="python -c 'import nope'"),
        said("edit", "The name may be another.", path="mean.py", old_str="x", new_str="y"),
        said(
            "edit",
            "The divisor is one too small: `len(values) - 1` is for a sample's variance. "
            "An arithmetic mean divides by the number of values.",
            path="calc.py",
            old_str="/ (len(values) - 1)",
            new_str="/ len(values)",
        ),
        said("run_tests", "Does the failing test pass now, and the others still?", selector="all"),
        end,
        end,
    ]


def server(*, seconds: float = 0.0, attempts: int = 1) -> ScriptedServer:
    """Return a server of the run; of several attempts the second one breaks a test."""
    if attempts == 1:
        return ScriptedServer(turns(), seconds=seconds)
    wrong = turns()
    wrong[5] = said(
        "edit", "Divide by one.", path="calc.py", old_str="/ (len(values) - 1)", new_str="/ 1"
    )
    scripts = {number: turns() for number in range(1, attempts + 1)} | {2: [*wrong, *wrong[-3:]]}
    return ScriptedServer(by_attempt(scripts, turns()), seconds=seconds, slots=attempts)


def command(task: Task, address: str, *options: str) -> list[str]:
    """Return the command line of the run."""
    return [
        sys.executable, "-P", "-m", "reapair", "solve", task.issue, "--base-url", address,
        "--sandbox", "none", "--test-command", FAST, *options,
    ]  # fmt: skip


def environment(state: Path, **variables: str) -> dict[str, str]:
    """Return an environment that keeps runs below `state`, and no settings of this machine."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AGENT_", "OPENAI_")) and name not in ("NO_COLOR", "FORCE_COLOR")
    }
    ours = {"XDG_STATE_HOME": str(state), "TERM": "xterm-256color", "AGENT_STRATEGY": "loop"}
    return kept | ours | variables


def solved(directory: Path, *options: str, attempts: int = 1) -> Path:
    """Bring the run to its end and return its directory."""
    task = showcase(directory / "repository")
    many = ["--attempts", str(attempts)] if attempts > 1 else []
    with server(attempts=attempts) as scripted:
        done = subprocess.run(
            command(task, scripted.base_url, *many, *options),
            cwd=task.repository,
            env=environment(directory / "state"),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    [run] = [path for path in (directory / "state/agent/runs").iterdir() if "." not in path.name]
    return run
