"""How people are told of the stages of guided solving: from the data of their events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_AUTHORS = {
    "existing": "a test of the repository",
    "named": "a test that you named",
    "issue": "the issue's own example",
    "model": "a test that the model wrote",
}
_STATUS = {
    "passes": "passes",
    "better": "comes closer",
    "fails": "fails",
    "breaks": "breaks other tests",
    "unchanged": "changes nothing",
    "duplicate": "was tried before",
    "no_code": "has no code that fits",
}


def suspects(data: Mapping[str, Any]) -> str:
    """Return how many suspects there are, and the first with its reason."""
    found = data["suspects"]
    if not found:
        return "suspects: none; neither the issue nor a test points at a function"
    functions = "1 function" if len(found) == 1 else f"{len(found)} functions"
    return f"suspects: {functions}, the first {suspect(found[0])}"


def suspect(row: Mapping[str, Any]) -> str:
    """Return one suspect with its score and reasons."""
    reasons = "; ".join(row["reasons"][:2])
    return f"{row['path']}:{row['start']} {row['name']} ({row['score']:.2f}: {reasons})"


def tests(data: Mapping[str, Any]) -> str:
    """Return what shows the fault, in one line."""
    found = data["tests"]
    if not found:
        return f"test: {data['why']}"
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"test: {_AUTHORS.get(data['author'], data['author'])} shows the fault, {found[0]}{more}"


def candidate(data: Mapping[str, Any]) -> str:
    """Return what became of a candidate, in one line."""
    status = _STATUS.get(data["status"], data["status"])
    counted = f", {data['fixed']} of {data['wanted']} tests" if data["wanted"] else ""
    ran = data["status"] in ("passes", "better", "fails", "breaks")
    place = ", ".join(data["sites"])
    return f"candidate {data['number']} for {place} {status}{counted if ran else ''}"
