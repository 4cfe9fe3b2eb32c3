"""A patch becomes a branch and one draft pull request; what is in the way is said in one line."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reapair.agent.surfaces.github.publish import Published, PublishError, publish
from reapair.agent.surfaces.github.reference import Reference
from reapair.agent.surfaces.github.rest_client import GitHub, GitHubError
from support.github_server import Fault, GitHubServer
from support.github_state import PERSON, READS, WRITES, Caller, State
from support.tasks import Task

PULLS = "POST /api/v3/repos/acme/widgets/pulls 201"


class Place:
    """Publishes the work tree's changes of the task's repository."""

    def __init__(self, github: GitHubServer, task: Task) -> None:
        self.github, self.top = github, task.repository
        self.waits: list[float] = []

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.top, check=True, capture_output=True
        )
        return done.stdout.decode()

    def patch(self) -> bytes:
        """Return what has changed, and take it back."""
        self.git("add", "-A")
        done = subprocess.run(
            ["git", "diff", "--cached", "--binary", "--full-index", "HEAD"],
            cwd=self.top,
            check=True,
            capture_output=True,
        )
        self.git("reset", "-q", "--hard")
        return done.stdout

    def change(self, text: str = "changed\n") -> bytes:
        (self.top / "new.txt").write_text(text)
        return self.patch()

    def publish(self, patch: bytes, *, token: str | None = WRITES, number: int = 7) -> Published:
        client = GitHub(self.github.url, token, sleep=self.waits.append)
        reference = Reference(self.github.url, "acme/widgets", number)
        return publish(client, reference, self.top, patch, title="Mend it", body="Because.")


@pytest.fixture
def place(github: GitHubServer, task: Task) -> Place:
    return Place(github, task)


def test_every_kind_of_change_arrives(place: Place, state: State) -> None:
    (place.top / "calc.py").unlink()
    (place.top / "deep/er").mkdir(parents=True)
    (place.top / "deep/er/run me.sh").write_text("#!/bin/sh\n")
    (place.top / "deep/er/run me.sh").chmod(0o755)
    (place.top / "raw.bin").write_bytes(bytes(range(256)))
    (place.top / "ünï\tcode").write_text("x")
    (place.top / "link").symlink_to("deep")
    patch = place.patch()
    made = place.publish(patch)
    assert made.created
    listed = state.git("ls-tree", "-r", "-z", "agent/issue-7")
    subprocess.run(["git", "apply", "--index", "-"], input=patch, cwd=place.top, check=True)
    assert place.git("write-tree").strip() == state.git("rev-parse", "agent/issue-7^{tree}")
    assert "100755" in listed
    assert "120000" in listed
    assert "calc.py" not in listed.replace("test_calc.py", "")


def test_a_shallow_checkout_is_enough(
    place: Place, state: State, task: Task, tmp_path: Path
) -> None:
    (place.top / "more.txt").write_text("2\n")
    place.git("add", "-A")
    place.git("commit", "-qm", "Second")
    place.git("push", "-q", str(state.bare), "main")
    shallow = tmp_path / "shallow"
    origin = f"file://{state.bare}"
    subprocess.run(["git", "clone", "-q", "--depth", "1", origin, str(shallow)], check=True)
    patch = place.change()
    place.top = shallow
    assert place.publish(patch).created
    assert state.git("show", "agent/issue-7:new.txt") == "changed"


def test_again_is_the_same_pull_request(place: Place, state: State) -> None:
    first = place.publish(place.change())
    tip = state.git("rev-parse", "agent/issue-7")
    again = place.publish(place.change())
    assert (again.url, again.created) == (first.url, False)
    assert state.git("rev-parse", "agent/issue-7") == tip
    other = place.publish(place.change("changed otherwise\n"))
    assert other.url == first.url
    assert state.git("show", "agent/issue-7:new.txt") == "changed otherwise"
    assert state.git("rev-list", "--count", "main..agent/issue-7") == "1"
    assert place.github.log.count(PULLS) == 1


def test_a_newer_base_replaces_our_own_commit_only(place: Place, state: State) -> None:
    place.publish(place.change())
    (place.top / "calc.py").write_text("mean = sum\n")
    place.git("commit", "-qam", "Main goes on")
    place.git("push", "-q", str(state.bare), "main")
    place.publish(place.change())
    assert state.git("rev-parse", "agent/issue-7^") == state.git("rev-parse", "main")
    assert len(state.pulls) == 1


def test_commits_of_others_stay(place: Place, state: State) -> None:
    patch = place.change()
    place.publish(patch)
    place.git("fetch", "-q", str(state.bare), "agent/issue-7")
    place.git("switch", "-q", "--detach", "FETCH_HEAD")
    (place.top / "theirs.txt").write_text("mine")
    place.git("add", "-A")
    place.git("commit", "-qm", "By hand")
    place.git("push", "-q", str(state.bare), "HEAD:agent/issue-7")
    place.git("switch", "-q", "main")
    with pytest.raises(PublishError, match="commits of others, which stay"):
        place.publish(place.change("other\n"))
    assert state.git("show", "agent/issue-7:theirs.txt") == "mine"


def test_a_closed_pull_request_is_followed_by_a_new_one(place: Place, state: State) -> None:
    first = place.publish(place.change())
    state.pulls[first.number]["state"] = "closed"
    second = place.publish(place.change("better\n"))
    assert second.created
    assert second.number != first.number


def test_no_drafts_on_a_free_plan(place: Place, state: State) -> None:
    state.drafts = False
    made = place.publish(place.change())
    assert state.pulls[made.number]["title"] == "[draft] Mend it"


def diverged(place: Place, state: State) -> None:
    del state
    place.git("commit", "-q", "--amend", "-m", "Other history")


def unrelated(place: Place, state: State) -> None:
    place.git("commit", "-q", "--allow-empty", "-m", "On a branch")
    place.git("push", "-q", str(state.bare), "HEAD:feature")


def archived(place: Place, state: State) -> None:
    del place
    state.archived = True


def not_allowed(place: Place, state: State) -> None:
    del place
    state.actions_may_create_pulls = False


@pytest.mark.parametrize(
    ("spoil", "token", "said"),
    [
        (diverged, WRITES, "is not on GitHub. Push it"),
        (unrelated, WRITES, "not part of main on GitHub: they have diverged"),
        (archived, WRITES, "archived"),
        (not_allowed, WRITES, "Workflow permissions"),
        (None, READS, "The token may not do this"),
        (None, None, "does not accept the token"),
        (None, "wrong", "does not accept the token"),
    ],
)
def test_what_is_in_the_way_is_one_line(
    place: Place,
    state: State,
    spoil: Callable[[Place, State], None] | None,
    token: str | None,
    said: str,
) -> None:
    if spoil:
        spoil(place, state)
    with pytest.raises((PublishError, GitHubError), match=said) as caught:
        place.publish(place.change(), token=token)
    assert len(str(caught.value).splitlines()) == 1
    assert state.pulls == {}
    assert "ghs_" not in str(caught.value)


def test_other_repositories_and_numbers_are_404_in_words(place: Place) -> None:
    client = GitHub(place.github.url, PERSON)
    with pytest.raises(GitHubError, match="nothing at /repos/acme/widgets/issues/99"):
        client.get("/repos/acme/widgets/issues/99")
    with pytest.raises(GitHubError, match="need GITHUB_TOKEN"):
        GitHub(place.github.url, None).get("/repos/acme/secret")


@pytest.mark.parametrize(
    "match", ["GET .*/git/ref/", "POST .*/git/blobs", "POST .*/git/refs", "PATCH .*/git/refs"]
)
@pytest.mark.parametrize("after", [False, True])
def test_a_failing_server_is_tried_again(
    place: Place, state: State, match: str, after: bool
) -> None:
    if "PATCH" in match:
        place.publish(place.change("first\n"))
    place.github.faults = [Fault(match, 502, times=2, after=after)]
    made = place.publish(place.change())
    assert place.waits == [1.0, 2.0]
    assert state.pulls[made.number]["state"] == "open"
    assert len(state.pulls) == 1


@pytest.mark.parametrize("after", [False, True])
def test_a_lost_answer_makes_no_second_pull_request(
    place: Place, state: State, after: bool
) -> None:
    place.github.faults = [Fault("POST .*/pulls$", 502, after=after)]
    with pytest.raises(GitHubError, match="Try again later"):
        place.publish(place.change())
    made = place.publish(place.change())
    assert len(state.pulls) == 1
    assert made.created is not after


def test_a_faster_job_is_followed(place: Place, state: State) -> None:
    message = "A pull request already exists for acme:agent/issue-7."
    place.github.faults = [Fault("POST .*/pulls$", 422, message, after=True)]
    assert not place.publish(place.change()).created
    assert len(state.pulls) == 1


def test_a_secondary_limit_is_waited_for(place: Place) -> None:
    message = "You have exceeded a secondary rate limit."
    headers = (("Retry-After", "7"),)
    place.github.faults = [Fault("POST .*/pulls$", 403, message, 1, headers)]
    assert place.publish(place.change()).created
    assert [round(wait) for wait in place.waits] == [7]


def test_a_long_limit_ends_the_work_with_its_time(place: Place) -> None:
    headers = (("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "4102444800"))
    place.github.faults = [Fault("GET", 403, "API rate limit exceeded", 1, headers)]
    with pytest.raises(GitHubError, match="used up until 00:00 UTC"):
        place.publish(place.change())
    assert place.waits == []


def test_words_of_the_server_cannot_show_the_token(place: Place) -> None:
    place.github.faults = [Fault("GET", 422, f"bad {WRITES} \x1b[31m\n::error::x", 1)]
    with pytest.raises(GitHubError) as caught:
        place.publish(place.change())
    assert WRITES not in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_second_token_is_no_stranger(place: Place, state: State) -> None:
    state.callers["ghs_other"] = Caller("my-app[bot]", type="Bot")
    first = place.publish(place.change())
    assert place.publish(place.change("more\n"), token="ghs_other").number == first.number
