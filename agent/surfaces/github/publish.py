"""A patch as a branch and a draft pull request, made through the API alone.

Commits that are made through the API carry GitHub's own signature. Nothing is pushed, so no hook
and no credential helper has a part in it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from reapair.agent.surfaces.github.reference import Reference
from reapair.agent.surfaces.github.rest_client import GitHub, GitHubError
from reapair.sandbox.git.patch_parser import GITLINK
from reapair.sandbox.git.repository import GitStore
from reapair.sandbox.git.run_git import GitError

MOST_FILES = 200
TRAILER = "Agent-Issue"
"""Line at the end of our commits' messages, by which we know them again."""

_ABSENT = "000000"


class PublishError(Exception):
    """The change was not published. The message says why and what to do; the patch is kept."""


class Published(NamedTuple):
    """The pull request; `created` is False when it was there and has been brought up to date."""

    url: str
    number: int
    created: bool


class _Entry(NamedTuple):
    mode: str
    sha: str
    path: str


def branch_of(reference: Reference) -> str:
    """Return the name of the branch for an issue."""
    return f"agent/issue-{reference.number}"


def publish(
    github: GitHub,
    reference: Reference,
    repository: Path,
    patch: bytes,
    *,
    title: str,
    body: str,
    summary: str = "",
) -> Published:
    """Put HEAD and the patch on the issue's branch and open a draft pull request for it.

    What is there already from an earlier time is brought up to date. Commits of others stay.

    Args:
        github: with a token that may write contents and pull requests.
        reference: the issue.
        repository: a path in a clone whose HEAD the patch is for; it is only read.
        patch: judged by the policy before.
        title: of commit and pull request.
        body: of the pull request, in Markdown.
        summary: the rest of the commit's message.

    Raises PublishError and GitHubError; then nothing is half done that a second try would not end.
    """
    place = f"/repos/{reference.repository}"
    about = github.get(place)
    if about.get("archived"):
        raise PublishError(f"{reference.repository} is archived, so it takes no pull request.")
    target = str(about["default_branch"])
    with TemporaryDirectory(prefix="agent-") as scratch:
        store = _store(Path(scratch), repository)
        base = _base(github, place, store, target)
        tree = _upload(github, place, store, base, patch)
    message = f"{title}\n\n{summary}".strip() + f"\n\n{TRAILER}: {reference.number}\n"
    _move_branch(github, reference, base, tree, message, target)
    return _pull_request(github, reference, target, title, body)


def _store(scratch: Path, repository: Path) -> GitStore:
    try:
        return GitStore(scratch / "store", repository)
    except GitError as error:
        raise PublishError(str(error)) from error


def _base(github: GitHub, place: str, store: GitStore, target: str) -> str:
    """Return HEAD, which must be part of the branch that the pull request is for."""
    head = store.repository.head()
    if head is None:
        raise PublishError("The repository has no commit yet.")
    if github.find(f"{place}/git/commits/{head}") is None:
        raise PublishError(f"HEAD ({head[:12]}) is not on GitHub. Push it, then publish again.")
    if not _holds(github, place, target, head):
        raise PublishError(
            f"HEAD ({head[:12]}) is not part of {target} on GitHub: they have diverged. Solve the "
            f"issue on {target}, or push the run's branch yourself."
        )
    return head


def _holds(github: GitHub, place: str, branch: str, commit: str) -> bool:
    """Tell whether a branch contains a commit."""
    compared = github.find(f"{place}/compare/{commit}...{branch}", per_page=1)
    return compared is not None and compared.get("status") in ("ahead", "identical")


def _upload(github: GitHub, place: str, store: GitStore, base: str, patch: bytes) -> str:
    """Make the patched tree on GitHub and return its id, which git has worked out before."""
    try:
        before = store.tree_of(base)
        store.git("read-tree", base)
        store.git("apply", "--cached", "--whitespace=nowarn", "-", stdin=patch)
        tree = store.git("write-tree").decode().strip()
        entries = list(_changed(store, before, tree))
    except GitError as error:
        raise PublishError(f"The patch does not fit HEAD ({error.detail}).") from error
    if not entries:
        raise PublishError("The patch changes nothing.")
    if len(entries) > MOST_FILES:
        raise PublishError(
            f"The patch changes {len(entries)} files; at most {MOST_FILES} are sent."
        )
    for entry in entries:
        if entry.mode != _ABSENT:
            content = base64.b64encode(store.git("cat-file", "blob", entry.sha)).decode()
            made = github.post(f"{place}/git/blobs", content=content, encoding="base64")
            _expect(made["sha"], entry.sha, entry.path)
    items = [
        {"path": entry.path, "mode": "100644", "type": "blob", "sha": None}
        if entry.mode == _ABSENT
        else {"path": entry.path, "mode": entry.mode, "type": "blob", "sha": entry.sha}
        for entry in entries
    ]
    made = github.post(f"{place}/git/trees", base_tree=before, tree=items)
    _expect(made["sha"], tree, "the whole tree")
    return tree


def _changed(store: GitStore, before: str, after: str) -> Iterator[_Entry]:
    """Yield the files in which two trees differ, as they are in the second."""
    raw = store.git("diff-tree", "-r", "-z", "--no-renames", "--no-ext-diff", before, after)
    words = raw.split(b"\0")
    for facts, path in zip(words[::2], words[1::2], strict=False):
        _, mode, _, sha, _ = facts.decode("ascii").split()
        if int(mode, 8) == GITLINK:
            raise PublishError("The patch changes a submodule; that is not published.")
        try:
            yield _Entry(mode, sha, path.decode("utf-8"))
        except UnicodeDecodeError:
            raise PublishError("A file's name is not UTF-8, which GitHub's API needs.") from None


def _expect(got: str, wanted: str, what: str) -> None:
    if got != wanted:
        raise PublishError(f"GitHub stored {what} otherwise than git. Nothing was published.")


def _move_branch(
    github: GitHub, reference: Reference, base: str, tree: str, message: str, target: str
) -> None:
    """Let the issue's branch be one commit on top of `base`; made anew only where it is not yet."""
    place, branch = f"/repos/{reference.repository}", branch_of(reference)
    found = github.find(f"{place}/git/ref/heads/{branch}")
    if found is not None:
        tip = github.get(f"{place}/git/commits/{found['object']['sha']}")
        parents = [parent["sha"] for parent in tip["parents"]]
        if (tip["tree"]["sha"], parents) == (tree, [base]):
            return
        ours = f"{TRAILER}: {reference.number}" in str(tip["message"]).splitlines()
        if not (ours and len(parents) == 1 and _holds(github, place, target, parents[0])):
            raise PublishError(
                f"{branch} holds commits of others, which stay as they are. Merge, rename or "
                "delete the branch, then publish again."
            )
    made = github.post(f"{place}/git/commits", message=message, tree=tree, parents=[base])
    if found is not None:
        github.patch(f"{place}/git/refs/heads/{branch}", sha=made["sha"], force=True)
        return
    try:
        github.post(f"{place}/git/refs", ref=f"refs/heads/{branch}", sha=made["sha"])
    except GitHubError as error:
        now = github.find(f"{place}/git/ref/heads/{branch}") if error.status == 422 else None
        if now is None or now["object"]["sha"] != made["sha"]:  # Not the lost answer's own doing.
            raise


def _pull_request(
    github: GitHub, reference: Reference, target: str, title: str, body: str
) -> Published:
    """Return the branch's open pull request with this text; a new draft where there is none."""
    place = f"/repos/{reference.repository}"
    wanted: dict[str, Any] = {"title": title, "body": body}
    if there := _updated(github, reference, **wanted):
        return there
    wanted |= {"head": branch_of(reference), "base": target}
    try:
        made = github.post(f"{place}/pulls", once=True, draft=True, **wanted)
    except GitHubError as error:
        said = str(error).lower() if error.status == 422 else ""
        again = {"title": title, "body": body}
        if "already exists" in said and (there := _updated(github, reference, **again)):
            return there  # Another job was faster.
        if "draft" not in said:  # Private repositories on free plans have none.
            raise
        made = github.post(f"{place}/pulls", once=True, **wanted | {"title": f"[draft] {title}"})
    return Published(str(made["html_url"]), int(made["number"]), created=True)


def _updated(github: GitHub, reference: Reference, **wanted: str) -> Published | None:
    """Change the branch's open pull request; None where there is none."""
    place, owner = f"/repos/{reference.repository}", reference.repository.partition("/")[0]
    head = f"{owner}:{branch_of(reference)}"
    for pull in github.get(f"{place}/pulls", head=head, state="open", per_page=1):
        github.patch(f"{place}/pulls/{pull['number']}", **wanted)
        return Published(str(pull["html_url"]), int(pull["number"]), created=False)
    return None
