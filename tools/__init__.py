"""What the model can do in a repository."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from reapair.sandbox.base import Sandbox
from reapair.tools.base import (
    Observation,
    Parameters,
    Tool,
    Toolbox,
    ToolDefinitionError,
    ToolError,
    schema,
)
from reapair.tools.bash import Bash
from reapair.tools.edit import Edit
from reapair.tools.files import is_test_file
from reapair.tools.observation import clip, stable
from reapair.tools.profiles.from_function import tool
from reapair.tools.read import Read
from reapair.tools.run_tests import RunTests
from reapair.tools.search import Search
from reapair.tools.submit import Submit, changed_files
from reapair.tools.symbols import Symbols
from reapair.tools.testing.test_outcomes import Status
from reapair.tools.testing.test_runner import Progress, TestReport, TestRunner

__all__ = [
    "Observation",
    "Parameters",
    "Profile",
    "Status",
    "TestReport",
    "TestRunner",
    "Tool",
    "ToolDefinitionError",
    "ToolError",
    "Toolbox",
    "changed_files",
    "clip",
    "is_test_file",
    "profile_tools",
    "schema",
    "stable",
    "standard_tools",
    "tool",
]


Profile = Literal["standard", "swe-smith", "bash", "demonstration"]
"""Which tools the model is offered: ours, those of SWE-smith's trajectories, bash alone, or ours as
they were when the demonstration's model was trained."""


def profile_tools(
    profile: Profile,
    test_runner: TestRunner,
    baseline: Callable[[], TestReport | None],
    diff: Callable[[Sandbox], str],
) -> list[Tool[Any]]:
    """Return the tools of a profile, in the order offered; see `standard_tools`."""
    if profile == "standard":
        return standard_tools(test_runner, baseline, diff)
    if profile == "demonstration":
        from reapair.tools.profiles.demonstration import pinned

        return pinned(standard_tools(test_runner, baseline, diff))
    from reapair.tools.profiles.swe_smith import Editor, PlainSubmit

    submit = Submit(Progress(diff), asks_for_tests=False)
    if profile == "bash":
        return [Bash(), submit]
    return [Bash(), Editor(), PlainSubmit(submit)]


def standard_tools(
    test_runner: TestRunner,
    baseline: Callable[[], TestReport | None],
    diff: Callable[[Sandbox], str],
) -> list[Tool[Any]]:
    """Return the tools of a run, in the order offered to the model.

    Args:
        test_runner: runs the repository's tests.
        baseline: returns the report of the untouched repository; may wait for it. None: no such.
        diff: returns the patch text of everything changed so far, new files included.
    """
    progress = Progress(diff)
    return [
        Read(),
        Search(),
        Symbols(),
        Edit(),
        RunTests(test_runner, baseline, progress),
        Bash(),
        Submit(progress),
    ]
