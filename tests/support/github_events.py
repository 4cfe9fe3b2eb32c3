"""Events as GitHub writes them into a job's event file, with the fields that we read and more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.github_state import Json, State

AT = "2026-01-02T10:00:00Z"


def labeled(state: State, number: int, sender: str, label: str = "agent", **more: Any) -> Json:
    """Return the event of somebody's labelling an issue."""
    issue = state.issue(number) | {"updated_at": AT}
    return _event(state, "labeled", sender, issue=issue, label={"name": label}) | more


def opened(state: State, number: int, sender: str) -> Json:
    """Return the event of somebody's opening an issue."""
    return _event(state, "opened", sender, issue=state.issue(number) | {"updated_at": AT})


def commented(
    state: State,
    number: int,
    sender: str,
    body: str,
    *,
    action: str = "created",
    kind: str = "User",
) -> Json:
    """Return the event of a comment on an issue or a pull request."""
    comment = state.add_comment(number, body, sender, kind=kind, created=AT)
    if action == "edited":
        comment["updated_at"] = "2026-01-03T10:00:00Z"
    event = _event(state, action, sender, kind=kind, issue=state.issue(number))
    return event | {"comment": dict(comment)}


def write(event: Json, file: Path) -> Path:
    """Write an event file and return it."""
    file.write_text(json.dumps(event))
    return file


def _event(state: State, action: str, sender: str, *, kind: str = "User", **more: Any) -> Json:
    login = {"login": sender, "type": kind, "id": 1}
    return {"action": action, "repository": state.repository(), "sender": login} | more
