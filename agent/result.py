"""What a run ends with: verdict, evidence, exit reason and exit code, the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, PrivateAttr

TestStatus = Literal["passed", "failed", "error", "skipped", "missing"]


class Verdict(StrEnum):
    """What the proof says of a patch; never what the model says of it."""

    PROVED = "proved"
    SHOWN = "shown"
    REGRESSION_FREE = "regression_free"
    UNPROVED = "unproved"
    REFUTED = "refuted"
    EMPTY = "empty"


class ExitReason(StrEnum):
    """Why the loop ended."""

    SUBMITTED = "submitted"
    NO_SUBMIT = "no_submit"
    STEP_LIMIT = "step_limit"
    TOKEN_LIMIT = "token_limit"  # noqa: S105
    TIME_LIMIT = "time_limit"
    CONTEXT_LIMIT = "context_limit"
    FORMAT_ERROR = "format_error"
    LOOP = "loop"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    MODEL_ERROR = "model_error"
    SANDBOX_ERROR = "sandbox_error"
    STORAGE_ERROR = "storage_error"
    INTERNAL_ERROR = "internal_error"


INFRASTRUCTURE = frozenset(
    {
        ExitReason.MODEL_ERROR,
        ExitReason.SANDBOX_ERROR,
        ExitReason.STORAGE_ERROR,
        ExitReason.INTERNAL_ERROR,
    }
)
"""Reasons that say nothing about the model's work: evaluations retry these and never score them."""


class ExitCode(IntEnum):
    """The process's exit codes, as the README lists them."""

    PROVED = 0
    INTERNAL = 1
    USAGE = 2
    MODEL = 3
    SANDBOX = 4
    HANDOVER = 5
    SHOWN = 8
    REGRESSION_FREE = 9
    UNPROVED = 10
    REFUTED = 11
    EMPTY = 12
    INTERRUPTED = 130
    TERMINATED = 143


Author = Literal["existing", "user", "issue", "model_first", "model"]

ORIGINS: dict[str, str] = {
    "existing": "in the repository",
    "user": "named by the user",
    "issue": "the issue's own example",
    "model_first": "written by the model before it changed product code",
    "model": "came with the patch",
}
"""Who wrote a test that shows the fix, and when, in words."""


class Reproduction(BaseModel):
    """A test that shows the fix. `before` is on the untouched snapshot, `after` with the patch."""

    test: str
    author: Author
    before: TestStatus
    after: TestStatus

    @property
    def origin(self) -> str:
        """Who wrote the test, and when, in words."""
        return ORIGINS[self.author]


class Suite(BaseModel):
    """Counts of the whole suite with the patch. `missing` counts tests the baseline had."""

    command: str = ""
    passed: int = 0
    failed: int = 0
    error: int = 0
    skipped: int = 0
    missing: int = 0


class Evidence(BaseModel):
    """Everything the proof saw, and what every account of a run speaks from.

    Attributes:
        scope: `sampled` when only a part of the suite, named in `suite.command`, could be run.
        tricks: what in the patch keeps tests from being believed, a sentence each.
        violations: why the patch can't be taken at all.
        warnings: scratch files and debugger calls that were left in, and files that act by
            themselves and that nobody asked for.
        reach: what shows that tests reach the change: its lines were run, or tests import it;
            `unknown` where that can't be told.
        notes: what else a reader should know of the proof, a sentence each.
        failure: what the first regression says.
        problem: one line for people when something went wrong.
        mendable: another change could get a better verdict, so the model is asked for one.
    """

    verdict: Verdict
    scope: Literal["full", "sampled", "none"] = "none"
    reproduction: list[Reproduction] = Field(default_factory=list)
    regressions: list[str] = Field(default_factory=list)
    flaky: list[str] = Field(default_factory=list)
    tricks: list[str] = Field(default_factory=list)
    violations: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    suite: Suite = Field(default_factory=Suite)
    reach: Literal["lines", "imports", "none", "unknown"] = "unknown"
    notes: list[str] = Field(default_factory=list)
    failure: str = ""
    problem: str = ""
    mendable: bool = False

    @property
    def own_test_only(self) -> bool:
        """True when nothing but tests that came with the patch shows the fix."""
        return bool(self.reproduction) and all(t.author == "model" for t in self.reproduction)


class Totals(BaseModel):
    """Tokens and seconds of a whole run, as far as the server told them.

    Of the `prompt_tokens` that were sent, the server had `cached_tokens`, among them
    `generated_reused_tokens` that the model had written itself, and read `recomputed_tokens`.
    """

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    recomputed_tokens: int = 0
    completion_tokens: int = 0
    generated_reused_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0

    def add(self, usage: Mapping[str, float | None]) -> None:
        """Add what one request took, as its event has it."""
        self.requests += 1
        prompt, cached = int(usage.get("prompt_tokens") or 0), int(usage.get("cached_tokens") or 0)
        self.prompt_tokens += prompt
        self.cached_tokens += cached
        self.recomputed_tokens += prompt - cached
        self.completion_tokens += int(usage.get("completion_tokens") or 0)
        self.generated_reused_tokens += int(usage.get("generated_reused_tokens") or 0)
        for name in ("prefill_seconds", "decode_seconds"):
            setattr(self, name, round(getattr(self, name) + (usage.get(name) or 0.0), 3))


class Candidate(BaseModel):
    """What the choice saw of one attempt.

    `cross_passed` of the `cross_total` tests by which other attempts show their changes pass on its
    change; both are 0 where that was not asked. `agreeing` counts the attempts, itself among them,
    whose change is the same but for comments and layout. `changed_lines` leaves tests out.
    """

    attempt: int
    exit_reason: ExitReason
    verdict: Verdict
    cross_passed: int = 0
    cross_total: int = 0
    agreeing: int = 1
    changed_lines: int = 0
    usage: Totals = Field(default_factory=Totals)


_ACCEPTED = (Verdict.PROVED, Verdict.SHOWN, Verdict.REGRESSION_FREE)


def accepted(verdict: Verdict, weakest: str) -> bool:
    """Return whether a verdict is as strong as `weakest`: proved, shown or regression_free."""
    return verdict in _ACCEPTED[: _ACCEPTED.index(Verdict(weakest)) + 1]


class Choice(BaseModel):
    """Which of several attempts was taken, and why, in one sentence."""

    attempt: int
    why: str
    candidates: list[Candidate]

    @property
    def usage(self) -> Totals:
        """The tokens of all attempts together."""
        totals = Totals()
        for name in Totals.model_fields:
            setattr(totals, name, sum(getattr(each.usage, name) for each in self.candidates))
        return totals


class Result(BaseModel):
    """How a run ended.

    `error` is one line for people when `exit_reason` is an infrastructure one, `note` one about the
    hand-over. `branch` is set when the patch was handed over as a branch, `choice` when there were
    several attempts; `pull_request` is the address of the one that was opened or updated.
    `repository` is the top of the user's work tree.
    """

    run_id: str
    directory: Path
    repository: Path | None = None
    exit_reason: ExitReason
    evidence: Evidence
    summary: str = ""
    files: list[str] = Field(default_factory=list)
    steps: int = 0
    usage: Totals = Field(default_factory=Totals)
    branch: str | None = None
    pull_request: str | None = None
    applied: bool = False
    patch_file: Path | None = None
    error: str = ""
    note: str = ""
    handover_failed: bool = False
    choice: Choice | None = None

    _memory: tuple[str, list[dict[str, Any]]] | None = PrivateAttr(None)

    @property
    def verdict(self) -> Verdict:
        """The verdict of the evidence."""
        return self.evidence.verdict

    @property
    def status(self) -> Literal["finished", "stopped", "failed"]:
        """Whether the run came to its end, was stopped, or an error kept it from its work."""
        if self.exit_reason in INFRASTRUCTURE:
            return "failed"
        stopped = self.exit_reason in (ExitReason.CANCELLED, ExitReason.SUPERSEDED)
        return "stopped" if stopped else "finished"

    @property
    def patch(self) -> str:
        """The patch as text; bytes that are not UTF-8 are kept as surrogates."""
        if self._memory:
            return self._memory[0]
        file = self.directory / "patch.diff"
        return file.read_text("utf-8", "surrogateescape") if file.exists() else ""

    @property
    def paths(self) -> dict[str, Path]:
        """The files that are kept of the run, by name: `events.jsonl`, `patch.diff` and so on."""
        return {path.name: path for path in sorted(self.directory.glob("*.*")) if path.is_file()}

    @property
    def remembered(self) -> list[dict[str, Any]] | None:
        """The conversation of a run whose directory is gone; None while it is there."""
        return self._memory[1] if self._memory else None

    def remember(self, messages: list[dict[str, Any]]) -> None:
        """Keep patch and messages in memory, because the run's directory is about to go."""
        self._memory = (self.patch, messages)

    def exit_code(self, accept: str = "proved") -> ExitCode:
        """Return the process's exit code: the verdict's with a patch, else the exit reason's.

        `accept` is the weakest verdict that gives 0.
        """
        if self.handover_failed:
            return ExitCode.HANDOVER
        if self.verdict is Verdict.EMPTY and self.exit_reason in _REASON_CODES:
            return _REASON_CODES[self.exit_reason]
        if accepted(self.verdict, accept):
            return ExitCode.PROVED
        return _VERDICT_CODES[self.verdict]


_VERDICT_CODES = {
    Verdict.PROVED: ExitCode.PROVED,
    Verdict.SHOWN: ExitCode.SHOWN,
    Verdict.REGRESSION_FREE: ExitCode.REGRESSION_FREE,
    Verdict.UNPROVED: ExitCode.UNPROVED,
    Verdict.REFUTED: ExitCode.REFUTED,
    Verdict.EMPTY: ExitCode.EMPTY,
}

_REASON_CODES = {
    ExitReason.MODEL_ERROR: ExitCode.MODEL,
    ExitReason.SANDBOX_ERROR: ExitCode.SANDBOX,
    ExitReason.STORAGE_ERROR: ExitCode.INTERNAL,
    ExitReason.INTERNAL_ERROR: ExitCode.INTERNAL,
    ExitReason.CANCELLED: ExitCode.INTERRUPTED,
}
