"""What an event of GitHub means for us, and whether its sender may have it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from reapair.agent.surfaces.github.issues import (
    Comment,
    Issue,
    User,
    issue_text,
    read_comments,
    with_request,
)
from reapair.agent.surfaces.github.reference import Reference
from reapair.agent.surfaces.github.rest_client import GitHub
from reapair.agent.surfaces.github.text import one_line

MAY_WRITE = frozenset(("admin", "write"))
"""Permissions as the API tells them; `maintain` is `write` there, `triage` is `read`."""

_COMMAND = re.compile(r"/agent(?:[ \t]+([^\n]*))?(?:\n|\Z)")
_LOGIN = re.compile(r"[A-Za-z0-9_-]{1,100}")
_OUR_BRANCH = re.compile(r"agent/issue-(\d{1,9})")


class NothingToDo(Exception):  # noqa: N818 - it is no error that most events are not for us
    """The event is not for us, or its sender may not have it. The message says why."""


class Trigger(NamedTuple):
    """What is asked for.

    `issue` is as it was when the event came about, at `at`; what is newer is not read. `request` is
    what the sender wants of our pull request `pull`. `open_to_all` says that the repository wants
    every new issue solved, whoever opened it.
    """

    reference: Reference
    sender: str
    at: datetime
    issue: Issue | None
    pull: int = 0
    request: str = ""
    open_to_all: bool = False


class _Repository(BaseModel):
    full_name: str
    html_url: str
    archived: bool = False


class _Event(BaseModel):
    action: str = ""
    repository: _Repository
    sender: User
    issue: Issue | None = None
    comment: Comment | None = None
    label: dict[str, Any] | None = None
    inputs: dict[str, Any] | None = None


def read_event(name: str, payload: Any, *, label: str, opened: bool, repository: str) -> Trigger:
    """Return what an event asks for, judged from itself alone.

    Args:
        name: as in `GITHUB_EVENT_NAME`.
        payload: the event file's JSON.
        label: the one that asks for a solution.
        opened: whether the repository wants every new issue solved.
        repository: `owner/name` that the event must be of.

    Raises NothingToDo.
    """
    try:
        event = _Event.model_validate(payload)
    except ValidationError as error:
        raise NothingToDo(f"This is no event of an issue ({error.error_count()} fields).") from None
    if event.repository.full_name != repository:
        raise NothingToDo("The event is of another repository.")
    if event.sender.type == "Bot" or event.sender.login.endswith("[bot]"):
        raise NothingToDo("Bots are not answered: two of them would never end.")
    if event.repository.archived:
        raise NothingToDo("The repository is archived.")
    server = event.repository.html_url.removesuffix(f"/{repository}")
    known = (name, event.action)
    if name == "workflow_dispatch":
        return _of_dispatch(event, server)
    if event.issue is None:
        raise NothingToDo(f"An event {name} holds no issue.")
    if event.issue.state != "open":
        raise NothingToDo("The issue is closed. Open it again first.")
    reference = Reference(server, repository, event.issue.number)
    if known == ("issue_comment", "created") and event.comment:
        return _of_comment(event, event.issue, event.comment, reference)
    if event.issue.pull_request is not None:
        raise NothingToDo("This is a pull request, not an issue.")
    at = event.issue.updated_at or datetime.now(UTC)
    if known == ("issues", "labeled") and (event.label or {}).get("name") == label:
        return Trigger(reference, event.sender.login, at, event.issue)
    if known == ("issues", "opened") and opened:
        return Trigger(reference, event.sender.login, at, event.issue, open_to_all=True)
    raise NothingToDo(f"{name} {event.action} asks for nothing here: label the issue {label}.")


def _of_dispatch(event: _Event, server: str) -> Trigger:
    number = str((event.inputs or {}).get("issue", "")).strip().removeprefix("#")
    if not re.fullmatch(r"\d{1,9}", number):
        raise NothingToDo("The workflow was started by hand without the number of an issue.")
    reference = Reference(server, event.repository.full_name, int(number))
    return Trigger(reference, event.sender.login, datetime.now(UTC), None)


def _of_comment(event: _Event, issue: Issue, comment: Comment, reference: Reference) -> Trigger:
    command = _COMMAND.match(comment.body or "")
    if command is None:
        raise NothingToDo("The comment does not begin with /agent.")
    if comment.updated_at != comment.created_at:
        raise NothingToDo("The comment was edited before it was read. Write a new one.")
    words = f"{command[1] or ''}\n{(comment.body or '')[command.end() :]}".strip()
    sender, at = event.sender.login, comment.created_at
    if issue.pull_request is not None:
        if not words:
            raise NothingToDo("Say what is to be changed: /agent and your words.")
        return Trigger(reference, sender, at, None, pull=issue.number, request=words)
    if words.split(maxsplit=1)[:1] != ["solve"]:
        raise NothingToDo("On an issue the command is /agent solve.")
    return Trigger(reference, sender, at, issue)


def check_sender(github: GitHub, trigger: Trigger) -> None:
    """Raise NothingToDo unless the sender may write to the repository; GitHubError as well.

    The permission is asked for anew: what an event says of its author is of another person, and may
    be of another day.
    """
    if trigger.open_to_all:
        return
    if not _LOGIN.fullmatch(trigger.sender):
        raise NothingToDo("The sender has no name that an account can have.")
    path = f"/repos/{trigger.reference.repository}/collaborators/{trigger.sender}/permission"
    found = github.find(path) or {}
    if found.get("permission") not in MAY_WRITE:
        raise NothingToDo(f"{trigger.sender} may not write to this repository.")


def settled(github: GitHub, trigger: Trigger) -> Trigger:
    """Return the trigger with the issue that its pull request of ours is for.

    Raises NothingToDo where the pull request is not ours, GitHubError.
    """
    if not trigger.pull:
        return trigger
    place = trigger.reference
    pull = github.get(f"/repos/{place.repository}/pulls/{trigger.pull}")
    head = pull.get("head") or {}
    branch = _OUR_BRANCH.fullmatch(str(head.get("ref", "")))
    if branch is None or (head.get("repo") or {}).get("full_name") != place.repository:
        raise NothingToDo("This pull request is not one of ours: its branch is not agent/issue-….")
    if pull.get("state") != "open":
        raise NothingToDo("The pull request is closed. Open it again first.")
    return trigger._replace(reference=place._replace(number=int(branch[1])))


def text_of(github: GitHub, trigger: Trigger) -> str:
    """Return the text that a run begins with, as it was when the event came about.

    `trigger` is settled. Raises GitHubError, and NothingToDo where that text is not to be had.
    """
    place = trigger.reference
    path = f"/repos/{place.repository}"
    issue = trigger.issue
    if issue is None:
        issue = Issue.model_validate(github.get(f"{path}/issues/{place.number}"))
        if trigger.pull and issue.updated_at and issue.updated_at > trigger.at:
            raise NothingToDo("The issue was changed after the request. Read it, and ask again.")
        if issue.pull_request is not None:
            raise NothingToDo(f"{place.number} is a pull request, not an issue.")
    text = issue_text(issue, read_comments(github, place, trigger.at))
    if not trigger.pull:
        return text
    pull = github.get(f"{path}/pulls/{trigger.pull}")
    changes = github.get(f"{path}/compare/{pull['base']['sha']}...{pull['head']['sha']}")
    earlier = "\n".join(
        f"{one_line(str(file.get('filename', '')))}\n{file.get('patch', '')}"
        for file in changes.get("files", ())
    )
    return with_request(text, earlier, trigger.sender, trigger.request)
