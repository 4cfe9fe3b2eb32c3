"""Predictions of any harness, as SWE-bench and SWE-smith read them: patches by instance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reapair.agent.lab.evaluate.instances import InstanceError


class Predictions:
    """The patches of a file: `.jsonl`, or `.json` with a list or a mapping by instance id.

    JSON Lines stay on disk; of a line only its place is kept.

    Raises InstanceError for a file that holds none.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._places: dict[str, int] = {}
        self._entries: dict[str, dict[str, Any]] = {}
        try:
            if file.suffix == ".jsonl":
                self._places = dict(_places(file))
            else:
                self._entries = dict(_entries(json.loads(file.read_text("utf-8"))))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InstanceError(
                f"{file} holds no predictions: {error}. Each needs instance_id and model_patch."
            ) from error

    def patch(self, instance_id: str) -> bytes:
        """Return the predicted patch, b"" where there is none."""
        if instance_id in self._places:
            with self._file.open("rb") as lines:
                lines.seek(self._places[instance_id])
                return _patch(json.loads(lines.readline()))
        return _patch(self._entries.get(instance_id, {}))


def _patch(entry: dict[str, Any]) -> bytes:
    # SWE-smith's guide says `patch`, its code reads `model_patch`.
    patch = entry.get("model_patch") or entry.get("patch") or ""
    return str(patch).encode("utf-8", "surrogateescape")


def _checked(where: str, entry: dict[str, Any]) -> None:
    """Raise ValueError, which names the place, for a patch that was cut within a character."""
    try:
        _patch(entry)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the patch of {where} has half a character at character {error.start + 1}"
        ) from error


def _places(file: Path) -> Iterator[tuple[str, int]]:
    with file.open("rb") as lines:
        place = 0
        for number, line in enumerate(lines, 1):
            if line.strip():
                entry = json.loads(line)
                _checked(f"line {number}", entry)
                yield entry["instance_id"], place
            place += len(line)


def _entries(read: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(read, dict):
        pairs = [(k, v if isinstance(v, dict) else {"model_patch": v}) for k, v in read.items()]
    else:
        pairs = [(entry["instance_id"], entry) for entry in read]
    for name, entry in pairs:
        _checked(name, entry)
        yield name, entry
