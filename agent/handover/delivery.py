"""Gives the patch of a run to the user, once, by the one way that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reapair.agent.handover.git_handover import (
    is_applied,
    replace_in_work_tree,
    slugify,
    to_branch,
    write_patch,
)
from reapair.agent.handover.port import HandoverError, OpenPullRequest
from reapair.agent.log.event_log import digest
from reapair.agent.log.formats import Handover, TreeChanged
from reapair.agent.log.turns import turn_start
from reapair.agent.proof.changes import parted
from reapair.agent.proof.verify import verify
from reapair.agent.result import Result, Verdict, accepted
from reapair.agent.words.run_words import title as title_of
from reapair.sandbox.git.snapshot import Snapshot

if TYPE_CHECKING:
    from reapair.agent.log.event_log import Run
    from reapair.agent.settings.settings import Settings
    from reapair.agent.workspace.workspace import Workspace

HANDED_OVER = frozenset({Verdict.PROVED, Verdict.SHOWN, Verdict.REGRESSION_FREE, Verdict.UNPROVED})
"""Verdicts whose patch becomes a branch; a refuted one stays a file in the run's directory."""


def handed_over(patch: bytes, settings: Settings) -> bytes:
    """Return what of a patch is handed over: all of it, or all but its tests."""
    return parted(patch)[0] if settings.without_tests else patch


@dataclass(frozen=True, slots=True)
class Delivery:
    """The hand-over of one run.

    Args:
        run: its log says what was handed over before.
        settings: say how.
        workspace: has the repository, and proves the patch again where that is needed.
        issue: its first line names the branch and the commit.
        model: named in the pull request.
        open_pull_request: None where nobody can.
    """

    run: Run
    settings: Settings
    workspace: Workspace
    issue: str
    model: str
    open_pull_request: OpenPullRequest | None

    def deliver(self, result: Result, patch: bytes) -> None:
        """Hand the patch over, also after a crash at most once, and complete the result."""
        run = self.run
        start = turn_start(run.events)
        begun = any(event.seq > start for event in run.of_kind("handover"))
        if not begun:
            run.append("handover", result.steps, intent=True)
        try:
            result.note = self._by_one_way(result, patch, again=begun)
            if self.settings.pr and result.branch:
                result.note = self._request_pull(result, patch) or result.note
        except HandoverError as error:
            result.handover_failed = True
            result.note = str(error)
        run.append(
            "handover",
            result.steps,
            branch=result.branch,
            pull_request=result.pull_request,
            applied=result.applied,
            patch_file=str(result.patch_file) if result.patch_file else None,
            note=result.note,
            patch=digest(handed_over(patch, self.settings)),
        )

    def _by_one_way(self, result: Result, patch: bytes, *, again: bool) -> str:
        """Hand over, and return a line for people, mostly empty. Raises HandoverError."""
        settings, repository = self.settings, self.workspace.repository
        proved, patch = patch, handed_over(patch, self.settings)
        if settings.patch:
            write_patch(settings.patch, patch)
            result.patch_file = settings.patch
        elif result.verdict not in HANDED_OVER:
            return "A refuted patch is not handed over; it is kept with the run."
        elif settings.apply:
            if not (again and is_applied(repository, patch)):
                replace_in_work_tree(repository, self._applied_before(), patch)
            result.applied = True
        elif not settings.branch:
            return ""
        elif branch := self._same_branch(patch):
            result.branch = branch
            return "The change is the same as before."
        elif reason := self._no_branch(proved, result):
            return f"{reason}, so no branch was made. Apply it with: agent apply {result.run_id}"
        else:
            title = title_of(self.issue)
            slug = f"issue-{settings.pr.rpartition('/')[2]}" if settings.pr else slugify(title)
            made = to_branch(
                repository,
                patch,
                name=settings.branch if isinstance(settings.branch, str) else f"agent/{slug}",
                message=f"{title[:72]}\n\n{result.summary}".strip() + "\n",
                when=int(self.run.events[turn_start(self.run.events)].ts),
            )
            result.branch = made.name
            return made.note
        return ""

    def _request_pull(self, result: Result, patch: bytes) -> str:
        """Open the draft pull request that was asked for, or return why there is none.

        Raises HandoverError.
        """
        if not accepted(result.verdict, self.settings.accept):
            return f"No pull request was opened: the change is {result.verdict}."
        if self.open_pull_request is None:
            raise HandoverError(
                "No pull request: the caller of this run cannot open one. The branch and the patch "
                "are kept. Open it yourself, or use: agent solve --pr"
            )
        result.pull_request = self.open_pull_request(
            self.settings.pr or "",
            self.workspace.repository,
            handed_over(patch, self.settings),
            result,
            model=self.model,
        )
        return ""

    def _earlier(self) -> list[Handover]:
        """Return the finished hand-overs of the run's earlier turns."""
        run = self.run
        start = turn_start(run.events)
        earlier = [e.read(Handover) for e in run.of_kind("handover") if e.seq <= start]
        return [each for each in earlier if not each.intent]

    def _same_branch(self, patch: bytes) -> str | None:
        """Return the branch that an earlier turn made of the same patch, if it did."""
        earlier = reversed(self._earlier())
        return next((e.branch for e in earlier if e.branch and e.patch == digest(patch)), None)

    def _applied_before(self) -> bytes:
        """Return the patch that an earlier turn left in the work tree; empty when none did."""
        applied = [each for each in self._earlier() if each.applied]
        for tree in self.run.of_kind("tree") if applied else ():
            file = self.run.directory / tree.read(TreeChanged).file
            patch = handed_over(file.read_bytes(), self.settings)
            if digest(patch) == applied[-1].patch:
                return patch
        return b""

    def _no_branch(self, patch: bytes, result: Result) -> str:
        """Return why no branch of HEAD and the patch can be made; empty when one can."""
        snapshot = self.workspace.snapshot
        if snapshot.head is None:
            return "The repository has no commit yet"
        if snapshot.dirty and not self._holds_on_head(patch, result):
            return "The change holds on your work tree but not on HEAD alone"
        return ""

    def _holds_on_head(self, patch: bytes, result: Result) -> bool:
        """Prove the patch again on HEAD: the branch will not hold the user's uncommitted work."""
        workspace = self.workspace
        head = Snapshot.of_commit(
            workspace.repository,
            "HEAD",
            workspace.snapshot.pack.parent,
            beside=workspace.snapshot,
            history=self.settings.history,
        )
        baseline = workspace.suite_of(head)
        evidence = verify(workspace, patch, snapshot=head, baseline=baseline, issue=self.issue)
        self.run.append(
            "verification", result.steps, on="HEAD", evidence=evidence.model_dump(mode="json")
        )
        return evidence.verdict in HANDED_OVER
