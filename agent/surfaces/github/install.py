"""Setting a repository up: the workflow that calls ours, the label, and what its settings lack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from reapair.agent.surfaces.github.reference import home
from reapair.agent.surfaces.github.rest_client import GitHub, GitHubError
from reapair.sandbox.git.repository import Repository
from reapair.sandbox.git.run_git import GitError

WORKFLOW = Path(".github/workflows/agent.yml")

_CALLER = """\
name: agent
on:
  issues: {types: [labeled]}
  issue_comment: {types: [created]} # zizmor: ignore[dangerous-triggers] the sender is checked
permissions: {}
jobs:
  agent:
    uses: OWNER/.github/workflows/agent.yml@COMMIT
    permissions: {contents: write, issues: write, pull-requests: write}
    with: {LABEL, base-url: "${{ vars.AGENT_BASE_URL }}", model: "${{ vars.AGENT_MODEL }}"}
    secrets: {api-key: "${{ secrets.AGENT_API_KEY }}"}
"""


class InstallError(Exception):
    """The workflow was not written. The message says why."""


def caller(uses: str, label: str) -> str:
    """Return the workflow for a repository that wants its issues answered.

    Args:
        uses: `owner/repo@commit` of the reusable workflow.
        label: that asks for a solution.

    Raises InstallError.
    """
    named = re.fullmatch(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40})", uses)
    if named is None:
        raise InstallError(
            "Say whose workflow is called: --uses owner/repo@COMMIT, with the whole id of the "
            "commit: a tag can be moved."
        )
    if not re.fullmatch(r"[A-Za-z0-9][\w .:-]{0,49}", label):
        raise InstallError(f"{label!r} is no name for a label. Use letters, digits, - and _.")
    text = _CALLER.replace("OWNER", named[1]).replace("COMMIT", named[2])
    return text.replace("LABEL", f'label: "{label}"')


def install_here(directory: Path, uses: str, label: str) -> Iterator[str]:
    """Set the repository of `directory` up, and yield a line for each thing done or to be done.

    Raises InstallError, NoSuchPlaceError, GitHubError.
    """
    text = caller(uses, label)
    try:
        top = Repository.find(directory).top
    except GitError as error:
        raise InstallError(str(error)) from error
    server, repository = home(directory)
    yield _write(top, text)
    github = GitHub.at(server)
    place = f"/repos/{repository}"
    about = github.get(place)
    if about.get("archived"):
        raise InstallError(f"{repository} is archived: no workflow runs in it.")
    if not about.get("has_issues", True):
        yield "to do: turn issues on in the repository's settings"
    yield _make_label(github, place, label)
    yield _pull_requests_allowed(github, place)
    yield (
        "to do: commit and push the workflow to the default branch; set the variables "
        "AGENT_BASE_URL and AGENT_MODEL and the secret AGENT_API_KEY, or choose another way to a "
        "model (see docs/github.md)"
    )


def _write(top: Path, text: str) -> str:
    file = top / WORKFLOW
    parts = [top / part for part in (".github", ".github/workflows", WORKFLOW)]
    if any(part.is_symlink() for part in parts):
        raise InstallError(f"{WORKFLOW} leads elsewhere by a link. Remove the link.")
    if file.exists() and file.read_text("utf-8", "replace") != text:
        raise InstallError(f"{WORKFLOW} is there already and is another one. Move it away first.")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return f"wrote {WORKFLOW}"


def _make_label(github: GitHub, place: str, label: str) -> str:
    from urllib.parse import quote

    if github.find(f"{place}/labels/{quote(label, safe='')}") is not None:
        return f"the label {label} is there"
    github.post(
        f"{place}/labels", name=label, color="5319e7", description="The agent works on this issue"
    )
    return f"made the label {label}"


def _pull_requests_allowed(github: GitHub, place: str) -> str:
    try:
        allowed = github.get(f"{place}/actions/permissions/workflow")
    except GitHubError as error:
        if error.status not in (401, 403, 404):
            raise
        return (
            "could not see whether Actions may create pull requests; an administrator's token can"
        )
    if allowed.get("can_approve_pull_request_reviews"):
        return "Actions may create pull requests"
    return (
        "to do: allow GitHub Actions to create pull requests (Settings, Actions, General, "
        "Workflow permissions)"
    )
