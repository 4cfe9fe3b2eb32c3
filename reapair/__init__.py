"""Solve issues with a coding model of your own, and prove the patches.

from reapair import Settings, solve

result = solve("The parser drops the last line", "path/to/repository", Settings(max_steps=40))
print(result.verdict, result.branch)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reapair.agent.lab.evaluate.grade import Grade
    from reapair.agent.lab.evaluate.instances import Instance, read_instances
    from reapair.agent.lab.stepwise import Observed, StepEnvironment
    from reapair.agent.log.conversation import messages_of
    from reapair.agent.log.events import Event
    from reapair.agent.loop.cancel import Cancel
    from reapair.agent.model.types import Model, ModelError
    from reapair.agent.result import Evidence, ExitReason, Result, Verdict
    from reapair.agent.settings.settings import Settings
    from reapair.agent.settings.sources import SettingsError, load_settings
    from reapair.agent.solve import UsageError
    from reapair.agent.surfaces.api import Agent, Stream, grade
    from reapair.agent.surfaces.compose import as_graph
    from reapair.agent.surfaces.report.reported import resume, solve
    from reapair.sandbox.base import ExecResult, Sandbox, SandboxError
    from reapair.tools import Tool, tool

__all__ = [
    "Agent",
    "Cancel",
    "Event",
    "Evidence",
    "ExecResult",
    "ExitReason",
    "Grade",
    "Instance",
    "Model",
    "ModelError",
    "Observed",
    "Result",
    "Sandbox",
    "SandboxError",
    "Settings",
    "SettingsError",
    "StepEnvironment",
    "Stream",
    "Tool",
    "UsageError",
    "Verdict",
    "as_graph",
    "grade",
    "load_settings",
    "messages_of",
    "read_instances",
    "resume",
    "solve",
    "tool",
]

__version__ = "0.1.0"

if not Path(__file__).with_name("agent").is_dir():
    # A source tree whose links to the packages were not kept: an archive, or a checkout on a system
    # without symbolic links. Linters and editors need the links; running needs only the path.
    __path__.append(str(Path(__file__).parents[1]))

_HOMES = {
    "agent.surfaces.api": ("Agent", "Stream", "grade"),
    "agent.loop.cancel": ("Cancel",),
    "agent.surfaces.compose": ("as_graph",),
    "agent.settings.sources": ("SettingsError", "load_settings"),
    "agent.lab.evaluate.grade": ("Grade",),
    "agent.lab.evaluate.instances": ("Instance", "read_instances"),
    "agent.log.conversation": ("messages_of",),
    "agent.log.events": ("Event",),
    "agent.model.types": ("Model", "ModelError"),
    "agent.result": ("Evidence", "ExitReason", "Result", "Verdict"),
    "agent.settings.settings": ("Settings",),
    "agent.solve": ("UsageError",),
    "agent.surfaces.report.reported": ("resume", "solve"),
    "agent.lab.stepwise": ("Observed", "StepEnvironment"),
    "sandbox.base": ("ExecResult", "Sandbox", "SandboxError"),
    "tools": ("Tool", "tool"),
}


def __getattr__(name: str) -> Any:
    # Lazy, so that `agent --help` and people who want one room only do not pay for all.
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"reapair.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
