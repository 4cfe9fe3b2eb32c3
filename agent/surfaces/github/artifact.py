"""What the job that solves hands to the job that publishes: a patch, and what is known of it."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reapair.agent.result import Evidence, ExitReason, Result, Totals
from reapair.agent.surfaces.github.reference import Reference
from reapair.sandbox.git.patch import Patch
from reapair.sandbox.git.patch_policy import SIZE_LIMIT

PATCH, FACTS = "patch.diff", "result.json"
FACTS_LIMIT = 1024 * 1024
"""Most bytes of `result.json`."""


class ArtifactError(Exception):
    """An artifact that is not taken. The message says what is wrong with it."""


class Facts(BaseModel):
    """What is known of a patch. `base` is the commit that it is for."""

    model_config = ConfigDict(extra="forbid")

    repository: str
    issue: int
    base: str = Field(pattern="^[0-9a-f]{40,64}$")
    model: str
    exit_reason: ExitReason
    evidence: Evidence
    summary: str
    steps: int
    usage: Totals
    error: str

    @classmethod
    def of(cls, result: Result, reference: Reference, base: str, model: str) -> Self:
        """Return the facts of a run's result; nothing of the machine it ran on is among them."""
        return cls(
            repository=reference.repository,
            issue=reference.number,
            base=base,
            model=model,
            exit_reason=result.exit_reason,
            evidence=result.evidence,
            summary=result.summary,
            steps=result.steps,
            usage=result.usage,
            error=result.error,
        )


def write(directory: Path, facts: Facts, patch: bytes) -> None:
    """Write an artifact into a new or empty directory. Raises ArtifactError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise ArtifactError(f"{directory} is not empty. Name a new directory.")
        (directory / FACTS).write_text(facts.model_dump_json(indent=1) + "\n", "utf-8")
        (directory / PATCH).write_bytes(patch)
    except OSError as error:
        raise ArtifactError(f"The artifact cannot be written: {error}.") from error


def read(directory: Path, reference: Reference, base: str) -> tuple[Facts, bytes]:
    """Read an artifact as what it is: a file of strangers.

    Args:
        directory: with nothing but the two files.
        reference: the issue that it must be for.
        base: the commit that it must be for.

    Raises ArtifactError, also where the patch breaks a rule of the patch policy.
    """
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except OSError:
        raise ArtifactError("There is no artifact: the run ended before it had a result.") from None
    if names != [PATCH, FACTS]:
        raise ArtifactError(f"The artifact holds {len(names)} files; it must hold its own two.")
    facts = _facts(_read(directory / FACTS, FACTS_LIMIT))
    if (facts.repository, facts.issue) != (reference.repository, reference.number):
        raise ArtifactError("The artifact is for another issue.")
    if facts.base != base:
        raise ArtifactError("The artifact is for another commit than the one that is checked out.")
    patch = _read(directory / PATCH, SIZE_LIMIT)
    if violations := Patch(patch).violations():
        raise ArtifactError(f"The patch is not taken: {violations[0].message}")
    return facts, patch


def _facts(data: bytes) -> Facts:
    try:
        return Facts.model_validate(json.loads(data))
    except (ValidationError, ValueError, RecursionError):
        raise ArtifactError("The artifact's result.json is not one of ours.") from None


def _read(path: Path, limit: int) -> bytes:
    facts = path.lstat()
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > limit:
        raise ArtifactError(f"The artifact's {path.name} is no file of at most {limit} bytes.")
    return path.read_bytes()
