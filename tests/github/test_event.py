"""What an event means: a table of triggers, and of what is no trigger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reapair.agent.surfaces.github.event import (
    NothingToDo,
    Trigger,
    check_sender,
    read_event,
    settled,
    text_of,
)
from reapair.agent.surfaces.github.rest_client import GitHub
from support import github_events as events
from support.action import run_action
from support.github_server import GitHubServer
from support.github_state import READS, Json, State


def read(name: str, event: Any, *, opened: bool = False) -> Trigger:
    return read_event(name, event, label="agent", opened=opened, repository="acme/widgets")


def pull(state: State, branch: str = "agent/issue-7", repository: str = "acme/widgets") -> int:
    base = state.git("rev-parse", "main")
    state.pulls[8] = {
        **{"number": 8, "state": "open", "title": "t", "body": "b", "user": {"login": "x"}},
        "head": {"ref": branch, "sha": base, "repo": {"full_name": repository}},
        "base": {"ref": "main", "sha": base, "repo": {"full_name": "acme/widgets"}},
    }
    state.git("update-ref", f"refs/heads/{branch}", base)
    return 8


Make = Callable[[State], tuple[str, Json]]

NOT_FOR_US: dict[str, tuple[str, Make]] = {
    "another label": (
        "label the issue",
        lambda s: ("issues", events.labeled(s, 7, "writer", "bug")),
    ),
    "opened, not wanted": ("asks for nothing", lambda s: ("issues", events.opened(s, 7, "x"))),
    "a plain comment": (
        "not begin with /agent",
        lambda s: ("issue_comment", events.commented(s, 7, "writer", "thanks /agent solve")),
    ),
    "a longer word": (
        "not begin with /agent",
        lambda s: ("issue_comment", events.commented(s, 7, "writer", "/agentsolve")),
    ),
    "no command": (
        "/agent solve",
        lambda s: ("issue_comment", events.commented(s, 7, "writer", "/agent do it")),
    ),
    "an edited comment": (
        "asks for nothing",
        lambda s: (
            "issue_comment",
            events.commented(s, 7, "writer", "/agent solve", action="edited"),
        ),
    ),
    "a bot": (
        "Bots",
        lambda s: ("issue_comment", events.commented(s, 7, "x[bot]", "/agent solve", kind="Bot")),
    ),
    "another event": (
        "holds no issue",
        lambda s: ("push", events.labeled(s, 7, "w") | {"issue": None}),
    ),
    "a closed issue": (
        "closed",
        lambda s: (
            "issues",
            events.labeled(s, 7, "writer") | {"issue": s.issue(7) | {"state": "closed"}},
        ),
    ),
    "another repository": (
        "another repository",
        lambda s: (
            "issues",
            events.labeled(s, 7, "w")
            | {"repository": s.repository() | {"full_name": "evil/widgets"}},
        ),
    ),
    "no event at all": ("no event", lambda s: ("issues", {"action": ["labeled"]})),
    "a list": ("no event", lambda s: ("issues", [])),
}


@pytest.mark.parametrize("case", NOT_FOR_US)
def test_what_is_no_trigger(state: State, github: GitHubServer, case: str) -> None:
    reason, make = NOT_FOR_US[case]
    with pytest.raises(NothingToDo, match=reason):
        read(*make(state))


def test_what_is_a_trigger(state: State, github: GitHubServer) -> None:
    label = read("issues", events.labeled(state, 7, "writer"))
    assert (label.sender, label.reference.number, label.open_to_all) == ("writer", 7, False)
    comment = read("issue_comment", events.commented(state, 7, "writer", "/agent solve\nplease"))
    assert (comment.sender, comment.reference.number, comment.pull) == ("writer", 7, 0)
    assert read("issues", events.opened(state, 7, "anybody"), opened=True).open_to_all
    by_hand = events.labeled(state, 7, "writer") | {"inputs": {"issue": "#7"}}
    assert read("workflow_dispatch", by_hand).reference.number == 7
    pull(state)
    again = read("issue_comment", events.commented(state, 8, "writer", "/agent use a list\nhere"))
    assert (again.pull, again.request) == (8, "use a list\nhere")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_command_with_any_line_ends(state: State, github: GitHubServer, end: str) -> None:
    solve = read("issue_comment", events.commented(state, 7, "writer", f"/agent solve{end}please"))
    assert solve.reference.number == 7
    pull(state)
    for words in (f"/agent use a list{end}here{end}", f"/agent{end}use a list{end}here"):
        trigger = read("issue_comment", events.commented(state, 8, "writer", words))
        assert (trigger.pull, trigger.request) == (8, "use a list\nhere")


@pytest.mark.parametrize(
    ("sender", "may"),
    [("maintainer", True), ("writer", True), ("triager", False), ("stranger", False), ("", False)],
)
def test_the_sender_is_asked_for_by_the_api(
    state: State, github: GitHubServer, sender: str, may: bool
) -> None:
    event = events.labeled(state, 7, sender)
    event["issue"]["author_association"] = "OWNER"  # Of the author, and of no account here.
    trigger = read("issues", event)
    if may:
        check_sender(GitHub(github.url, READS), trigger)
        return
    with pytest.raises(NothingToDo, match=r"may not write|no name"):
        check_sender(GitHub(github.url, READS), trigger)


def test_the_text_is_that_of_the_event(state: State, github: GitHubServer) -> None:
    state.add_comment(7, "early", "someone", created="2026-01-01T11:00:00Z")
    late = "2026-01-05T10:00:00Z"
    state.add_comment(7, "changed since", "someone", created="2026-01-01T12:00:00Z", updated=late)
    state.add_comment(7, "late", "someone", created=late)
    trigger = read("issues", events.labeled(state, 7, "writer"))
    state.issues[7]["body"] = state.issues[7]["title"] = "changed since"
    text = text_of(GitHub(github.url, READS), trigger)
    assert "gives 6.0" in text
    assert "early" in text
    assert "changed since" not in text
    assert "late" not in text


def test_a_request_on_our_pull_request(state: State, github: GitHubServer) -> None:
    pull(state)
    client = GitHub(github.url, READS)
    event = events.commented(state, 8, "writer", "/agent also round it")
    trigger = settled(client, read("issue_comment", event))
    assert trigger.reference.number == 7
    text = text_of(client, trigger)
    assert text.startswith("mean() is too large\n")
    assert "[earlier change for this issue" in text
    assert text.rstrip().endswith("also round it")
    state.issues[7]["updated_at"] = "2026-01-09T10:00:00Z"
    with pytest.raises(NothingToDo, match="changed after"):
        text_of(client, trigger)


@pytest.mark.parametrize(
    ("branch", "repository"), [("feature", "acme/widgets"), ("agent/issue-7", "mallory/widgets")]
)
def test_a_pull_request_of_others_is_left_alone(
    state: State, github: GitHubServer, branch: str, repository: str
) -> None:
    pull(state, branch, repository)
    trigger = read("issue_comment", events.commented(state, 8, "writer", "/agent go on"))
    with pytest.raises(NothingToDo, match="not one of ours"):
        settled(GitHub(github.url, READS), trigger)


HOSTILE = [
    '"; touch CANARY; echo "',
    "'; touch CANARY; '",
    "$(touch CANARY)",
    "`touch CANARY`",
    "${{ github.token }} ${{ secrets.api-key }}",
    "a\n::set-output name=go::true\n::add-path::/tmp\ngo=true\nEOF\n",
    "%0Ago=true%0A--label x -h --opened",
    "x" * 65_536,
    "\x00\x1b]0;title\x07\u202e",
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["label", "comment", "opened", "by hand", "pull", "stranger"])
def test_hostile_words_run_nothing_in_the_scripts(
    tmp_path: Path, state: State, github: GitHubServer, kind: str
) -> None:
    """All of them at once, in each place; shell, runner and outputs stay as they are."""
    work = tmp_path / "work"
    words = "\n".join(HOSTILE)
    state.add_issue(11, words, words, "mallory")
    going, number, inputs = True, "11", {"job": "check", "token": READS, "label": "agent"}
    if kind == "opened":
        name, event = "issues", events.opened(state, 11, "stranger")
        inputs["opened"] = "true"
    elif kind == "by hand":
        name = "workflow_dispatch"
        event = events.labeled(state, 11, "writer") | {"inputs": {"issue": f"11; {words}"}}
        going = False
    elif kind == "pull":
        name, number = "issue_comment", "7"
        event = events.commented(state, pull(state), "writer", f"/agent {words}")
    elif kind == "comment":
        name, event = (
            "issue_comment",
            events.commented(state, 11, "writer", f"/agent solve {words}"),
        )
    else:
        going = kind == "label"
        sender = "writer" if going else "$(touch CANARY)"
        name, event = "issues", events.labeled(state, 11, sender)
    file = events.write(event, tmp_path / "event.json")
    environment = {k: v for k, v in github.environment("").items() if k != "GITHUB_TOKEN"}
    job = run_action(work, inputs, environment, file, name)
    assert job.steps == ["Check the event"]
    assert job.code == 0
    assert job.outputs == {"go": "true" if going else "false", "issue": number if going else ""}
    assert not list(tmp_path.rglob("CANARY"))
    assert not any(line.startswith("::") for line in job.log.splitlines())
    assert github.writes == []
