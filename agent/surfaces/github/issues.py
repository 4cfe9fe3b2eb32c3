"""An issue and its comments as the text that a run begins with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from reapair.agent.surfaces.github.reference import Reference
from reapair.agent.surfaces.github.rest_client import GitHub
from reapair.agent.surfaces.github.text import one_line, sanitised, shortened

BODY_LIMIT = 16_000
COMMENTS_LIMIT = 12_000
"""Most characters of the issue's own text, and of all comments together."""

MOST_COMMENTS = 300
MARKER = "<!-- agent:progress -->"
"""First line of the comment that we keep up to date."""

_ATTRIBUTION = re.compile(r"^(\[(?:issue|comment|request|earlier)\b)", re.MULTILINE | re.IGNORECASE)
_COMMAND = re.compile(r"\s*/agent\b")


class User(BaseModel):
    """Who wrote something; a deleted account is none."""

    login: str = "ghost"
    type: str = "User"


def _unix_lines(text: object) -> object:
    """Return a text with LF alone: the web's own editor sends CRLF."""
    return re.sub(r"\r\n?", "\n", text) if isinstance(text, str) else text


Body = Annotated[str | None, BeforeValidator(_unix_lines)]


class Comment(BaseModel):
    """What we read of a comment."""

    id: int = 0
    body: Body = None
    user: User | None = None
    author_association: str = "NONE"
    created_at: datetime
    updated_at: datetime


class Issue(BaseModel):
    """What we read of an issue."""

    number: int
    title: str = ""
    body: Body = None
    user: User | None = None
    author_association: str = "NONE"
    state: str = "open"
    updated_at: datetime | None = None
    pull_request: dict[str, object] | None = None
    labels: list[dict[str, object] | str] = Field(default_factory=list)


def read_issue(github: GitHub, reference: Reference) -> str:
    """Return an issue and its comments as text for a run. Raises GitHubError."""
    path = f"/repos/{reference.repository}/issues/{reference.number}"
    return issue_text(Issue.model_validate(github.get(path)), read_comments(github, reference))


def read_comments(
    github: GitHub, reference: Reference, until: datetime | None = None
) -> list[Comment]:
    """Return the comments of people, oldest first; without what came or was changed after `until`.

    Raises GitHubError.
    """
    path = f"/repos/{reference.repository}/issues/{reference.number}/comments"
    comments = [Comment.model_validate(each) for each in github.pages(path, MOST_COMMENTS)]
    return [
        comment
        for comment in comments
        if (until is None or comment.updated_at <= until)
        and (comment.user is None or comment.user.type != "Bot")
        and not (comment.body or "").startswith(MARKER)
    ]


def issue_text(issue: Issue, comments: Sequence[Comment]) -> str:
    """Return a text that says who wrote what; the title is its first line.

    The latest comments stay where not all fit. Commands to us are no part of it.
    """
    title = one_line(issue.title) or f"Issue {issue.number}"
    body = shortened(_quoted(issue.body or ""), BODY_LIMIT)
    parts = [f"{title}\n\n[issue {issue.number} by {_who(issue)}]\n{body}".rstrip()]
    said, left = [], COMMENTS_LIMIT
    talk = [comment for comment in comments if not _COMMAND.match(comment.body or "")]
    for comment in reversed(talk):
        text = f"[comment by {_who(comment)}]\n{shortened(_quoted(comment.body or ''), 4_000)}"
        if len(text) > left:
            break
        said.append(text)
        left -= len(text)
    if len(said) < len(talk):
        parts.append(f"[{len(talk) - len(said)} earlier comments left out]")
    return "\n\n".join([*parts, *reversed(said)]) + "\n"


def with_request(text: str, earlier: str, sender: str, words: str) -> str:
    """Return an issue's text with the change that is there and what a reviewer wants of it."""
    return (
        f"{text}\n[earlier change for this issue; it is not in the files now]\n"
        f"{shortened(_quoted(earlier), BODY_LIMIT)}\n\n"
        f"[request by {sender} on that change: do what the issue and this ask for]\n"
        f"{shortened(_quoted(words), 4_000)}\n"
    )


def _quoted(text: str) -> str:
    """Return sanitised text in which no line looks like one of our own lines on who wrote what."""
    return _ATTRIBUTION.sub(r"> \1", sanitised(text))


def _who(written: Issue | Comment) -> str:
    login = re.sub(r"[^A-Za-z0-9\[\]-]", "", written.user.login if written.user else "ghost")
    association = re.sub(r"[^A-Z_]", "", written.author_association).lower().replace("_", " ")
    return f"{login}, {association}" if association not in ("", "none") else login
