"""The end of a run: hand the patch over, write the result."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from reapair.agent.handover.git_handover import (
    HandoverError,
    is_applied,
    replace_in_work_tree,
    slugify,
    to_branch,
    write_patch,
)
from reapair.agent.log.event_log import RunError
from reapair.agent.log.turns import turn_start
from reapair.agent.loop.session import digest
from reapair.agent.proof.changes import parted
from reapair.agent.proof.verify import verify
from reapair.agent.result import Choice, Evidence, ExitReason, Result, Verdict, accepted
from reapair.sandbox.git.patch_policy import changed_files
from reapair.sandbox.git.snapshot import Snapshot

if TYPE_CHECKING:
    from reapair.agent.log.events import Event
    from reapair.agent.loop.session import Session

HANDED_OVER = frozenset({Verdict.PROVED, Verdict.REGRESSION_FREE, Verdict.UNPROVED})
"""Verdicts whose patch becomes a branch; a refuted one stays a file in the run's directory."""


def finish(
    session: Session,
    reason: ExitReason,
    *,
    steps: int,
    summary: str = "",
    error: str = "",
    choice: Choice | None = None,
) -> Result:
    """Hand the patch over, write `result.json`, log the end.

    Args:
        reason: why the loop ended.
        steps: how many were finished.
        summary: the model's own words on its change.
        error: one line for people, when the run ended by an error.
        choice: between the attempts, when there were several. An attempt hands nothing over.
    """
    run = session.run
    patch = session.workspace.recorded_patch()
    handed = _handed(session, patch)
    run.write("patch.diff", handed)
    result = _result(session, reason, steps, summary, error)
    if choice:
        result.choice, result.usage = choice, choice.usage
    if handed.strip() and session.part != "attempt":
        _hand_over(session, result, patch)
    run.write("result.json", result.model_dump_json(indent=2).encode() + b"\n")
    run.append("run_finished", steps, result=result.model_dump(mode="json"))
    run.sync()
    _report(session)
    return result


def unfinished(session: Session, reason: ExitReason, error: str) -> Result:
    """Return the result of a run that was stopped by an error: nothing is handed over or logged.

    The run can be resumed.
    """
    steps = max((event.step for event in session.run.of_kind("tool_result")), default=0)
    with suppress(RunError):  # Perhaps it is a full disk that has stopped the run.
        session.run.write("patch.diff", session.workspace.recorded_patch())
    result = _result(session, reason, steps, "", error)
    _report(session, result)
    return result


def _report(session: Session, result: Result | None = None) -> None:
    """Write the page for people; `agent report` writes it again where this has failed."""
    from reapair.agent.surfaces.report import write_report

    if not session.settings.keep:
        return
    with suppress(Exception):
        write_report(session.run.directory, events=session.run.events, result=result)


def _result(session: Session, reason: ExitReason, steps: int, summary: str, error: str) -> Result:
    run = session.run
    patch = session.workspace.recorded_patch()
    evidence = session.evidence(patch) or Evidence(
        verdict=Verdict.UNPROVED if patch.strip() else Verdict.EMPTY,
        problem="The run ended before its change was proved." if patch.strip() else "",
    )
    return Result(
        run_id=run.id,
        directory=run.directory,
        exit_reason=reason,
        evidence=evidence,
        summary=summary,
        files=changed_files(patch),
        steps=steps,
        usage=session.totals(),
        error=error,
    )


def _hand_over(session: Session, result: Result, patch: bytes) -> None:
    """Give the patch to the user by the one way that was asked for; once, also after a crash."""
    run = session.run
    start = turn_start(run.events)
    begun = any(event.seq > start for event in run.of_kind("handover"))
    if not begun:
        run.append("handover", result.steps, intent=True)
    try:
        result.note = _deliver(session, result, patch, again=begun)
        if session.settings.pr and result.branch:
            result.note = _request_pull(session, result, patch) or result.note
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
        patch=digest(_handed(session, patch)),
    )


def _handed(session: Session, patch: bytes) -> bytes:
    """Return what of a patch is handed over: all of it, or all but its tests."""
    if not session.settings.without_tests or session.part == "attempt":
        return patch
    product, _ = parted(patch)
    return product


def _deliver(session: Session, result: Result, patch: bytes, *, again: bool) -> str:
    """Hand over and return a line for people, mostly empty. Raises HandoverError."""
    settings, repository = session.settings, session.workspace.repository
    proved, patch = patch, _handed(session, patch)
    if settings.patch:
        write_patch(settings.patch, patch)
        result.patch_file = settings.patch
    elif result.verdict not in HANDED_OVER:
        return "A refuted patch is not handed over; it is kept with the run."
    elif settings.apply:
        if not (again and is_applied(repository, patch)):
            replace_in_work_tree(repository, _applied_before(session), patch)
        result.applied = True
    elif not settings.branch:
        return ""
    elif branch := _same_branch(session, patch):
        result.branch = branch
        return "The change is the same as before."
    elif reason := _no_branch(session, proved, result):
        return f"{reason}, so no branch was made. Apply it with: agent apply {result.run_id}"
    else:
        title = session.issue.strip().partition("\n")[0].lstrip("# ").strip()
        slug = f"issue-{settings.pr.rpartition('/')[2]}" if settings.pr else slugify(title)
        made = to_branch(
            repository,
            patch,
            slug=slug,
            message=f"{title[:72]}\n\n{result.summary}".strip() + "\n",
            when=int(session.run.events[turn_start(session.run.events)].ts),
        )
        result.branch = made.name
        return made.note
    return ""


def _request_pull(session: Session, result: Result, patch: bytes) -> str:
    """Open the draft pull request that was asked for, or say why there is none.

    Raises HandoverError.
    """
    from reapair.agent.surfaces.github.jobs import publish_result
    from reapair.agent.surfaces.github.publish import PublishError
    from reapair.agent.surfaces.github.reference import NoSuchPlaceError
    from reapair.agent.surfaces.github.rest_client import GitHubError

    if not accepted(result.verdict, session.settings.accept):
        return f"No pull request was opened: the change is {result.verdict}."
    try:
        result.pull_request = publish_result(
            session.settings.pr or "",
            session.workspace.repository,
            _handed(session, patch),
            result,
            model=session.model.server.model,
        )
    except (GitHubError, PublishError, NoSuchPlaceError) as error:
        raise HandoverError(
            f"No pull request: {error} The branch and the patch are kept."
        ) from error
    return ""


def _earlier(session: Session) -> list[Event]:
    """Return the finished hand-overs of the run's earlier turns."""
    run = session.run
    start = turn_start(run.events)
    return [e for e in run.of_kind("handover") if e.seq <= start and not e.data.get("intent")]


def _same_branch(session: Session, patch: bytes) -> str | None:
    """Return the branch that an earlier turn made of the same patch, if it did."""
    for event in reversed(_earlier(session)):
        if event.data["branch"] and event.data.get("patch") == digest(patch):
            return str(event.data["branch"])
    return None


def _applied_before(session: Session) -> bytes:
    """Return the patch that an earlier turn left in the work tree; empty when none did."""
    applied = [event for event in _earlier(session) if event.data["applied"]]
    for tree in session.run.of_kind("tree") if applied else ():
        patch = _handed(session, (session.run.directory / tree.data["file"]).read_bytes())
        if digest(patch) == applied[-1].data["patch"]:
            return patch
    return b""


def _no_branch(session: Session, patch: bytes, result: Result) -> str:
    """Say why a branch, which holds HEAD and the patch, can't be made; empty when it can."""
    snapshot = session.workspace.snapshot
    if snapshot.head is None:
        return "The repository has no commit yet"
    if snapshot.dirty and not _holds_on_head(session, patch, result):
        return "The change holds on your work tree but not on HEAD alone"
    return ""


def _holds_on_head(session: Session, patch: bytes, result: Result) -> bool:
    """Prove the patch again on HEAD, which is what the branch will hold without the user's work."""
    workspace = session.workspace
    head = Snapshot.of_commit(
        workspace.repository,
        "HEAD",
        workspace.snapshot.pack.parent,
        beside=workspace.snapshot,
        history=session.settings.history,
    )
    baseline = workspace.suite_of(head)
    evidence = verify(workspace, patch, snapshot=head, baseline=baseline)
    session.run.append(
        "verification", result.steps, on="HEAD", evidence=evidence.model_dump(mode="json")
    )
    return evidence.verdict in HANDED_OVER
