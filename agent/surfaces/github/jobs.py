"""The two jobs: one solves and may only read, one publishes and runs nothing of the repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from reapair.agent.log.formats import RunStarted
from reapair.agent.result import accepted
from reapair.agent.surfaces.github import artifact, words
from reapair.agent.surfaces.github.artifact import ArtifactError, Facts
from reapair.agent.surfaces.github.event import Trigger, check_sender, settled, text_of
from reapair.agent.surfaces.github.issues import MARKER, MOST_COMMENTS, read_issue
from reapair.agent.surfaces.github.publish import Published, PublishError
from reapair.agent.surfaces.github.pull_request import open_pull_request
from reapair.agent.surfaces.github.reference import Reference
from reapair.agent.surfaces.github.rest_client import GitHub, GitHubError
from reapair.sandbox.git.patch import Patch
from reapair.sandbox.git.repository import Repository

if TYPE_CHECKING:
    from reapair.agent.log.events import Event
    from reapair.agent.loop.cancel import Cancel
    from reapair.agent.result import Result
    from reapair.agent.settings.settings import Settings


class PublishResult(NamedTuple):
    """What became of publishing: the pull request if there is one, and a line for people."""

    pull: Published | None
    line: str
    summary: str = ""


def solve_job(
    github: GitHub,
    asked: Trigger | Reference,
    repository: Path,
    directory: Path,
    settings: Settings,
    *,
    on_event: Callable[[Event], None],
    cancel: Cancel,
) -> tuple[Result, Facts]:
    """Solve what was asked for and write the artifact.

    Args:
        github: with a token that may read; the run itself has no use for it.
        asked: by an event, or by name.
        repository: the checkout; its HEAD is what the patch is for.
        directory: new or empty, for the artifact.
        settings: of the run.
        on_event: sees the run's events.
        cancel: stops the run.

    Raises NothingToDo, GitHubError, ArtifactError, and what `solve` raises.
    """
    from reapair.agent.log.event_log import read_events
    from reapair.agent.surfaces.report.reported import solve

    if isinstance(asked, Trigger):
        check_sender(github, asked)
        asked = settled(github, asked)
        reference, text = asked.reference, text_of(github, asked)
    else:
        reference, text = asked, read_issue(github, asked)
    base = Repository.find(repository).head()
    if base is None:
        raise ArtifactError("The repository has no commit yet.")
    with TemporaryDirectory(prefix="agent-") as scratch:
        # A file is the one hand-over that leaves the checkout as it is.
        to_file = {"patch": Path(scratch) / artifact.PATCH, "apply": False, "pr": None}
        settings = settings.model_copy(update=to_file)
        result = solve(text, repository, settings, on_event=on_event, cancel=cancel)
    started = [e for e in read_events(result.directory) if e.kind == "run_started"]
    model = str(started[0].read(RunStarted).server["model"]) if started else ""
    facts = Facts.of(result, reference, base, model)
    patch = result.directory / "patch.diff"
    artifact.write(directory, facts, patch.read_bytes() if patch.exists() else b"")
    return result, facts


def publish_job(
    github: GitHub,
    asked: Trigger | Reference,
    repository: Path,
    directory: Path,
    *,
    accept: str,
    run_url: str = "",
) -> PublishResult:
    """Check an artifact again, open the pull request it is worth, and say so on the issue.

    Args:
        github: with a token that may write.
        asked: by an event, or by name; never what the artifact says.
        repository: a checkout of the commit that the patch is for; only read.
        directory: the artifact.
        accept: the weakest verdict that gets a pull request.
        run_url: address of the job, for people.

    Raises NothingToDo before anything is written; GitHubError and PublishError.
    """
    if isinstance(asked, Trigger):
        check_sender(github, asked)
        asked = settled(github, asked)
        reference, issue = asked.reference, asked.issue
    else:
        reference, issue = asked, None
    base = Repository.find(repository).head() or ""
    try:
        facts, patch = artifact.read(directory, reference, base)
    except ArtifactError as error:
        _say(github, reference, words.failed_comment(str(error), run_url))
        return PublishResult(None, str(error))
    files = Patch(patch).paths
    if not (patch.strip() and accepted(facts.evidence.verdict, accept)):
        _say(github, reference, words.unsolved_comment(facts, run_url))
        line = f"No pull request. {words.outcome_line(facts)}"
        return PublishResult(None, line, words.job_summary(facts, files))
    try:
        made = open_pull_request(github, reference, repository, patch, facts, issue, run_url)
    except PublishError as error:
        _say(github, reference, words.failed_comment(str(error), run_url))
        raise
    _say(github, reference, words.published_comment(made.url, facts, created=made.created))
    line = f"{made.url} {'opened' if made.created else 'updated'}. {words.outcome_line(facts)}"
    return PublishResult(made, line, words.job_summary(facts, files, made.url))


def _say(github: GitHub, reference: Reference, body: str) -> None:
    """Let our one comment on the issue say this."""
    place = f"/repos/{reference.repository}/issues"
    own = _own_login(github)
    for comment in github.pages(f"{place}/{reference.number}/comments", MOST_COMMENTS):
        author = comment.get("user") or {}
        ours = author.get("login") == own if own else author.get("type") == "Bot"
        # Anybody can write the mark; a comment of somebody else is never changed.
        if ours and str(comment.get("body") or "").startswith(MARKER):
            if comment["body"] != body:
                github.patch(f"{place}/comments/{comment['id']}", body=body)
            return
    github.post(f"{place}/{reference.number}/comments", once=True, body=body)


def _own_login(github: GitHub) -> str:
    """Return whose token it is; "" for the token of a job or an app, which may not ask."""
    try:
        return str(github.get("/user")["login"])
    except GitHubError as error:
        if error.status not in (401, 403, 404):
            raise
        return ""
