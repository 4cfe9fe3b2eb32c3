"""The draft pull request of a change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reapair.agent.handover.port import HandoverError
from reapair.agent.surfaces.github import words
from reapair.agent.surfaces.github.artifact import Facts
from reapair.agent.surfaces.github.issues import Issue
from reapair.agent.surfaces.github.publish import Published, PublishError, publish
from reapair.agent.surfaces.github.reference import NoSuchPlaceError, Reference, parse
from reapair.agent.surfaces.github.rest_client import GitHub, GitHubError
from reapair.sandbox.git.patch import Patch
from reapair.sandbox.git.repository import Repository

if TYPE_CHECKING:
    from reapair.agent.result import Result


def publish_result(
    address: str, repository: Path, patch: bytes, result: Result, *, model: str
) -> str:
    """Open the draft pull request of a run of the user's own, and return its address.

    Fills the port `OpenPullRequest`. Raises HandoverError.
    """
    try:
        reference = parse(address, repository)
        if reference is None:
            raise NoSuchPlaceError(f"{address} is no issue on GitHub.")
        base = Repository.find(repository).head() or ""
        facts = Facts.of(result, reference, base, model)
        github = GitHub.at(reference.server)
        return open_pull_request(github, reference, repository, patch, facts).url
    except (GitHubError, PublishError, NoSuchPlaceError) as error:
        raise HandoverError(
            f"No pull request: {error} The branch and the patch are kept."
        ) from error


def open_pull_request(
    github: GitHub,
    reference: Reference,
    repository: Path,
    patch: bytes,
    facts: Facts,
    issue: Issue | None = None,
    run_url: str = "",
) -> Published:
    """Publish a patch with everything that is known of it. Raises PublishError, GitHubError."""
    if issue is None:
        place = f"/repos/{reference.repository}/issues/{reference.number}"
        issue = Issue.model_validate(github.get(place))
    return publish(
        github,
        reference,
        repository,
        patch,
        title=words.title_of(issue.title, reference.number),
        body=words.pull_body(facts, Patch(patch).paths, reference, run_url),
    )
