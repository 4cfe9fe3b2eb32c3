"""What an evaluation keeps: one directory per instance, with a record once it is finished."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from reapair.agent.lab.evaluate.grade import Grade
from reapair.agent.result import ExitReason, Totals, Verdict
from reapair.sandbox.write_whole import write_whole

INSTANCES = "instances"
"""Folder of an evaluation with one directory per instance."""

RECORD = "record.json"
"""The file that says that an instance is finished."""

OUTPUT = "output.txt"
"""What an instance's process has printed, which is nothing unless it fails badly."""


class Attempt(BaseModel):
    """One attempt at an instance, and its grade.

    Attributes:
        number: from 1.
        run: the run's directory, relative to the instance's; "" where no model was run.
        verdict: what our own proof says; None where no model was run.
        grade: what the hidden tests say; None for an infrastructure failure.
        seconds: of the run, without grading; all attempts of an instance run together.
    """

    number: int = 1
    run: str = ""
    exit_reason: ExitReason | None = None
    verdict: Verdict | None = None
    grade: Grade | None = None
    steps: int = 0
    usage: Totals = Field(default_factory=Totals)


class Record(BaseModel):
    """What became of one instance.

    Attributes:
        attempts: as many as were asked for; empty after an infrastructure failure.
        chosen: number of the attempt that the chooser took.
        tries: how often the instance was started; more than 1 after infrastructure failures.
        failure: why there is no grade, for people; "" when there is one.
        base_url: the server that was asked; its secrets are left out.
        seconds: wall-clock time of the last try, with grading.
        licence: SPDX name of the repository's; None where its own file says none that we know.
    """

    instance_id: str
    attempts: list[Attempt] = Field(default_factory=list)
    chosen: int = 1
    tries: int = 1
    failure: str = ""
    base_url: str = ""
    seconds: float = 0.0
    licence: str | None = None

    @property
    def graded(self) -> bool:
        """Whether the instance counts; infrastructure failures never do."""
        return not self.failure

    @property
    def best(self) -> Attempt | None:
        """The attempt that counts."""
        return next((each for each in self.attempts if each.number == self.chosen), None)

    @property
    def resolved(self) -> bool:
        """Whether the attempt that counts solves the instance."""
        return bool(self.best and self.best.grade and self.best.grade.resolved)


def place_of(out: Path, instance_id: str) -> Path:
    """Return the directory of an instance in an evaluation's."""
    return out / INSTANCES / instance_id


def read_record(place: Path) -> Record | None:
    """Return the record of an instance's directory; None while there is none that is whole."""
    try:
        return Record.model_validate_json((place / RECORD).read_bytes())
    except (OSError, ValidationError):
        return None


def write_record(place: Path, record: Record) -> None:
    """Keep the record, wholly or not at all."""
    place.mkdir(parents=True, exist_ok=True)
    write_whole(place / RECORD, record.model_dump_json(indent=1).encode() + b"\n")


def records(out: Path) -> Iterator[tuple[Path, Record]]:
    """Yield every finished instance's directory and record, by name."""
    instances = out / INSTANCES
    if not instances.is_dir():
        return
    for name in sorted(os.listdir(instances)):
        if record := read_record(instances / name):
            yield instances / name, record


def patch_of(place: Path, number: int) -> bytes:
    """Return the patch of an attempt, as it was graded."""
    file = place / f"{number}.diff"
    return file.read_bytes() if file.exists() else b""
