"""The end of a run: hand the patch over, write the result."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from reapair.agent.handover.delivery import handed_over
from reapair.agent.log.event_log import RunError
from reapair.agent.result import Choice, Evidence, ExitReason, Result, Verdict
from reapair.sandbox.git.patch import Patch

if TYPE_CHECKING:
    from reapair.agent.loop.session import Session


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
    handed = patch if session.part == "attempt" else handed_over(patch, session.settings)
    run.write("patch.diff", handed)
    result = _result(session, reason, steps, summary, error)
    if choice:
        result.choice, result.usage = choice, choice.usage
    if handed.strip() and session.part != "attempt":
        session.delivery().deliver(result, patch)
    run.write("result.json", result.model_dump_json(indent=2).encode() + b"\n")
    run.append("run_finished", steps, result=result.model_dump(mode="json"))
    run.sync()
    return result


def unfinished(session: Session, reason: ExitReason, error: str) -> Result:
    """Return the result of a run that was stopped by an error: nothing is handed over or logged.

    The run can be resumed.
    """
    steps = max((event.step for event in session.run.of_kind("tool_result")), default=0)
    with suppress(RunError):  # Perhaps it is a full disk that has stopped the run.
        session.run.write("patch.diff", session.workspace.recorded_patch())
    return _result(session, reason, steps, "", error)


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
        repository=session.workspace.repository,
        exit_reason=reason,
        evidence=evidence,
        summary=summary,
        files=Patch(patch).paths,
        steps=steps,
        usage=session.totals(),
        error=error,
    )
