"""Solve issues with a coding model of your own, and prove the patches.

from reapair import Settings, solve

result = solve("The parser drops the last line", "path/to/repository", Settings(max_steps=40))
print(result.verdict, result.branch)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reapair.agent.result import Result
    from reapair.agent.settings import Settings
    from reapair.agent.solve import solve

__all__ = ["Result", "Settings", "solve"]

_HOMES = {"Result": "result", "Settings": "settings", "solve": "solve"}


def __getattr__(name: str) -> Any:
    # Lazy, so that `agent --help` and people who want one room only do not pay for all.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"reapair.agent.{_HOMES[name]}"), name)
