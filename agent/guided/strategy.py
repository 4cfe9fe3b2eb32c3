"""Which way a run takes: guided, the loop, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reapair.agent.model.capability import makes_calls
from reapair.agent.model.types import SharedModel

if TYPE_CHECKING:
    from reapair.agent.model.types import Model
    from reapair.agent.settings.settings import Settings


def choose_strategy(settings: Settings, model: Model) -> tuple[bool, bool]:
    """Return whether guided solving comes first, and whether the model may be left to decide."""
    if settings.strategy != "auto":
        return settings.strategy == "guided", settings.strategy == "loop"
    if not isinstance(model, SharedModel) or not settings.rescue:
        return False, True  # It holds one conversation, or wants nothing but one.
    return True, makes_calls(model)
