"""The tools of the demonstration, as they were when its model was trained.

The tiny model knows these names and descriptions by heart. Pinned here, they stay the same when the
standard tools are added to or described in other words. `scripts/tiny_model/pin.py` writes them
anew before a training.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from reapair.tools.base import Tool

FILE = resources.files(__package__) / "demonstration.json"


def pinned(tools: Sequence[Tool[Any]]) -> list[Tool[Any]]:
    """Return those tools that the demonstration knows, in its order and with its schemas."""
    known = {tool.name: tool for tool in tools}
    found = []
    for entry in json.loads(FILE.read_text("utf-8")):
        tool = known[entry["function"]["name"]]
        tool.pinned_schema = entry
        found.append(tool)
    return found
