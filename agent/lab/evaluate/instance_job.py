"""The unit of an evaluation: one instance in, one stored record out; nothing else is shared.

It is a plain function of a value that can be pickled, so that a process on this machine or a task
on another one does the same.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from reapair.agent.lab.evaluate.grade import Grader, settings_for
from reapair.agent.lab.evaluate.harbor import with_image
from reapair.agent.lab.evaluate.instance_image import engine_for
from reapair.agent.lab.evaluate.instances import Instance, InstanceError
from reapair.agent.lab.evaluate.records import OUTPUT, Attempt, Record, write_record
from reapair.agent.lab.evaluate.reports import write_report
from reapair.agent.lab.evaluate.solvers import scripted_solver
from reapair.agent.lab.evaluate.state import make_state
from reapair.agent.lab.export.licence import licence_in
from reapair.agent.log.event_log import RunError
from reapair.agent.model.types import ModelError
from reapair.agent.result import INFRASTRUCTURE, ExitReason, Result
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import UsageError
from reapair.agent.surfaces.report.reported import solve
from reapair.sandbox import SandboxError
from reapair.sandbox.gateway.addresses import public_url
from reapair.sandbox.write_whole import write_whole

RETRY_SECONDS = 5.0
"""Wait before an instance is started again, times the number of its tries."""


class InfrastructureError(Exception):
    """Something beside the model's work failed. Such an instance is tried again, never scored."""


@dataclass(frozen=True, slots=True)
class Job:
    """All that is needed to run one instance.

    Attributes:
        instance: the task.
        place: the instance's own directory; made, and emptied of what a killed try has left.
        settings: server, tools, limits and attempts; the instance's own commands win.
        solver: `model`, `gold`, `empty`, `script:FILE`, or `predictions` with `patch`.
        patch: what is graded when another harness made the prediction.
        clones: directory of clones for instances without an archive.
        tries: how often it is started at most when infrastructure fails.
    """

    instance: Instance
    place: Path
    settings: Settings
    solver: str = "model"
    patch: bytes = b""
    clones: Path | None = None
    tries: int = 3


def run_job(job: Job) -> Record:
    """Solve and grade one instance, keep its record in `job.place`, and return it.

    Raises nothing that the instance is to blame for: failures are in the record.
    """
    for number in range(1, job.tries + 1):
        begun = time.monotonic()
        again = True
        try:
            record = _once(job)
        except InstanceError as error:
            record, again = _failed(job, str(error)), False
        except (InfrastructureError, SandboxError, ModelError, RunError, OSError) as error:
            record = _failed(job, str(error))
        except UsageError as error:
            record, again = _failed(job, str(error)), False
        except Exception as error:
            record = _failed(job, f"Internal error: {type(error).__name__}: {error}")
        record.tries, record.seconds = number, round(time.monotonic() - begun, 2)
        if record.graded or not again:
            break
        if number < job.tries:
            time.sleep(RETRY_SECONDS * number)
    write_record(job.place, record)
    return record


def _failed(job: Job, why: str) -> Record:
    return Record(instance_id=job.instance.id, failure=" ".join(why.split())[:1000])


def _once(job: Job) -> Record:
    _clear(job.place)
    job = replace(job, instance=with_image(job.instance, job.settings.sandbox))
    with _scratch(job.place) as work:
        attempts, patches, chosen, url = _solved(job, work)
        grader = Grader(job.instance, work / "grading", job.settings, job.clones)
        licence = licence_in(work / "grading/repository")
        known: dict[bytes, int] = {}
        for attempt, patch in zip(attempts, patches, strict=True):
            write_whole(job.place / f"{attempt.number}.diff", patch)
            if patch in known:  # Attempts often agree.
                attempt.grade = attempts[known[patch]].grade
            else:
                attempt.grade = grader.grade(patch)
                known[patch] = attempt.number - 1
    record = Record(
        instance_id=job.instance.id,
        attempts=attempts,
        chosen=chosen,
        base_url=url,
        licence=licence,
    )
    if record.best and record.best.grade:
        write_report(job.place, job.instance, record.best.grade)
    return record


def _clear(place: Path) -> None:
    """Remove what an earlier try has left, but for what this process itself has written."""
    place.mkdir(parents=True, exist_ok=True)
    for left in place.iterdir():
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        elif left.name != OUTPUT:
            left.unlink()


@contextmanager
def _scratch(place: Path) -> Iterator[Path]:
    """Yield a directory for large files that only the running job needs."""
    work = place / "work"
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        for store in place.glob("runs/*/store"):
            shutil.rmtree(store, ignore_errors=True)


def _solved(job: Job, work: Path) -> tuple[list[Attempt], list[bytes], int, str]:
    """Return the attempts without grades, their patches, the chosen number, and the server."""
    if job.solver == "predictions":
        return [Attempt()], [job.patch], 1, ""
    repository = make_state(
        job.instance, work / "repository", job.clones, kind=job.settings.sandbox
    )
    given = job.settings.model_copy(
        update={"runs": job.place / "runs", "patch": work / "handed-over.diff"}
    )
    settings = settings_for(job.instance, given)
    if job.solver != "model":  # A script of tool calls answers no questions.
        settings = settings.model_copy(update={"strategy": "loop"})
    model = (
        None
        if job.solver == "model"
        else scripted_solver(job.solver, job.instance, repository, settings.tools)
    )
    issue, engine = job.instance.problem_statement, engine_for(job.instance, settings.sandbox)
    result = solve(issue, repository, settings, model=model, engine=engine)
    attempts, patches, chosen = _attempts_of(result, job.place)
    url = public_url(settings.base_url) if job.solver == "model" and settings.base_url else ""
    return attempts, patches, chosen, url


def _attempts_of(result: Result, place: Path) -> tuple[list[Attempt], list[bytes], int]:
    """Read what each attempt of a run has left. Raises InfrastructureError where one is void."""
    _must_count(result.exit_reason, result.error)
    if result.choice is None:
        return [_attempt(1, result, place)], [_patch(result.directory)], 1
    attempts, patches = [], []
    for candidate in result.choice.candidates:
        # An attempt's directory stands beside its run's.
        directory = result.directory.with_name(f"{result.run_id}.{candidate.attempt}")
        own = Result.model_validate_json((directory / "result.json").read_bytes())
        _must_count(own.exit_reason, own.error)
        attempts.append(_attempt(candidate.attempt, own, place))
        patches.append(_patch(directory))
    return attempts, patches, result.choice.attempt


def _must_count(reason: ExitReason, error: str) -> None:
    if reason in INFRASTRUCTURE or reason is ExitReason.CANCELLED:
        raise InfrastructureError(f"{reason}: {error}" if error else str(reason))


def _attempt(number: int, result: Result, place: Path) -> Attempt:
    return Attempt(
        number=number,
        run=str(result.directory.relative_to(place)),
        exit_reason=result.exit_reason,
        verdict=result.verdict,
        steps=result.steps,
        usage=result.usage,
    )


def _patch(directory: Path) -> bytes:
    file = directory / "patch.diff"
    return file.read_bytes() if file.exists() else b""
