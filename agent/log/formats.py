"""What the events of each kind hold: every line of `events.jsonl` is checked against these models.

`docs/events.md` is made from them by `scripts/document_events.py`. A field may be added at any time
and readers pass over those they do not know; a new kind, or another meaning, needs a new version.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, InstanceOf

Text = InstanceOf[str]
"""Any text at all: a model can write lone halves of surrogate pairs, which plain `str` refuses."""


class RunStarted(BaseModel):
    """What the run was asked for, and what it works with; always the first event."""

    issue: Text = Field(description="The issue's text.")
    repository: Text = Field(description="Top of the user's work tree.")
    server: dict[str, Any] = Field(
        description="The model server: kind, base_url, model, context_tokens, version, family."
    )
    settings: dict[str, Any] = Field(description="All settings of the run; never a key.")
    tools: list[dict[str, Any]] = Field(description="The tools' schemas, as sent to the model.")
    forked_from: dict[str, Any] | None = Field(
        None, description="`run` and `step` of the run that this one began as a copy of."
    )


class SnapshotTaken(BaseModel):
    """The repository as the run sees it; kept in `store/`."""

    name: str = Field(description="What its files in `store/` are called.")
    tree: str = Field(description="Id of the git tree.")
    head: str | None = Field(description="The commit the repository stood on; null: none yet.")
    dirty: bool = Field(description="The tree is another than that commit's.")
    left_out: list[Text] = Field(description="Paths not taken, each with the reason.")


class EnvironmentReady(BaseModel):
    """What commands run in."""

    sandbox: str = Field(description="docker, podman, bubblewrap or none.")
    project: Text = Field(description='Folder that the tests run in; "" is the top.')
    test_command: Text | None = Field(description="Runs the whole suite; null: found by us.")
    reused: bool = Field(description="The environment was there already.")
    notes: list[Text] = Field(description="What people should know, a line each.")
    failure: Text = Field(description="End of what a failed set-up printed.")


class BaselineRun(BaseModel):
    """The suite on the untouched snapshot; each test's status is in `baseline.json`."""

    command: Text = Field(description="As it was run.")
    counts: dict[str, int] = Field(description="How many tests have each status.")


class Asked(BaseModel):
    """A request is about to be sent; it holds all messages up to here."""

    messages: list[dict[str, Any]] = Field(
        description="What we add to the conversation before it: the first prompt, feedback."
    )


class Answered(BaseModel):
    """What came back for a request."""

    outcome: str = Field(description="What became of the request.")
    usage: dict[str, float | None] = Field(description="Tokens and speed; null: not known.")
    finish_reason: str | None = Field(description="The server's own word.")
    salvaged: bool = Field(description="The calls were found in the text.")
    detail: Text = Field(description="One line for people.")


class Response(Answered):
    """A clean answer; it is part of the conversation."""

    message: dict[str, Any] = Field(description="The message, byte for byte as it is sent again.")
    calls: list[dict[str, Any]] = Field(
        description="Its calls as they are run: id, name, arguments, error, notes."
    )


class Discarded(Answered):
    """An answer that was not used; it is no part of the conversation."""

    content: Text = Field(description="What it said.")
    reasoning: Text = Field(description="What it thought.")


class ToolIntent(BaseModel):
    """A call is about to be run. Without its result, what it did is unknown."""

    call_id: Text = Field(description="As in the response.")
    name: Text = Field(description="The tool.")
    arguments: dict[str, Any] = Field(description="Checked against the tool's schema.")


class ToolResult(BaseModel):
    """What a call gave; part of the conversation."""

    call_id: Text = Field(description="As in the response.")
    name: Text = Field(description="The tool.")
    content: Text = Field(description="What the model reads.")
    ok: bool = Field(description="The call did what it was for.")
    data: dict[str, Any] = Field(description="What the tool needs after a restart.")


class TreeChanged(BaseModel):
    """The change made so far, from the snapshot on; written before the call's result."""

    file: str = Field(description="The patch, below the run's directory.")
    bytes: int = Field(description="Its size.")


class Compaction(BaseModel):
    """Room was made in the conversation."""

    reason: Literal["budget", "overflow", "loop"] = Field(description="Why.")
    before: int = Field(description="Tokens of the prompt before.")
    after: int = Field(description="Tokens of the prompt after.")
    plan: dict[str, Any] = Field(
        description="What was done: `stubs` by call id; `insert` instead of all up to `keep_from`."
    )


class Verification(BaseModel):
    """What the proof saw."""

    evidence: dict[str, Any] = Field(description="Verdict and evidence, as in `result.json`.")
    patch: str | None = Field(None, description="SHA-256 of the patch.")
    choice: dict[str, Any] | None = Field(
        None, description="Of several attempts: which was taken, and why."
    )
    on: str | None = Field(None, description="`HEAD` when proved again on it; else the snapshot.")


class Handover(BaseModel):
    """The patch is about to reach the user (`intent`), or has."""

    intent: bool = Field(False, description="It is about to begin.")
    branch: Text | None = Field(None, description="The branch that holds it.")
    pull_request: Text | None = Field(None, description="Address of its pull request.")
    applied: bool = Field(False, description="It is in the work tree.")
    patch_file: Text | None = Field(None, description="The file it was written to.")
    note: Text = Field("", description="One line for people.")
    patch: str | None = Field(None, description="SHA-256 of the patch.")


class RunFinished(BaseModel):
    """The end. An `instruction` may follow, and then another end."""

    result: dict[str, Any] = Field(description="As in `result.json`.")


class Instruction(BaseModel):
    """The user has said more (`agent continue`); part of the conversation, with a new budget."""

    text: Text = Field(description="In their words.")


class Suspects(BaseModel):
    """Guided solving: the functions that most likely hold the fault, found without the model."""

    suspects: list[dict[str, Any]] = Field(
        description="The most likely first: path, name, start, end, score, reasons."
    )
    executed: bool = Field(description="Tests were run under the recorder of executed lines.")
    seconds: float = Field(description="What it took.")


class ReproductionFound(BaseModel):
    """Guided solving: the tests that show the fault, frozen before anything is changed."""

    author: Literal["existing", "named", "issue", "model", "none"] = Field(
        description="Whose they are: the repository's, named by the user, made of the issue's "
        "example, written by the model; none: there are none."
    )
    tests: list[Text] = Field(description="Ids of the tests that have to pass.")
    files: dict[str, Text] = Field(description="Test files of ours, by path.")
    failure: Text = Field(description="What the first of them says on the untouched code.")
    why: Text = Field(description="Why these, or why none: one sentence for people.")


class Question(BaseModel):
    """Guided solving: a bounded question is about to be asked."""

    number: int = Field(description="From 1.")
    stage: Literal["reproduce", "repair"] = Field(description="What it is for.")
    sites: list[Text] = Field(description="The functions it is about, as `path:line name`.")
    messages: list[dict[str, Any]] = Field(description="All of it, as it is sent.")
    sample: int = Field(description="Which answer to these messages is drawn, from 0.")
    follows: int | None = Field(
        None, description="Number of the question whose candidate did not hold."
    )


class QuestionAnswered(Answered):
    """Guided solving: the answer to a question; it is no part of a conversation."""

    number: int = Field(description="Of the question.")
    content: Text = Field(description="What it said.")
    reasoning: Text = Field(description="What it thought.")


class CandidateTried(BaseModel):
    """Guided solving: a change made of an answer, and what tests say of it."""

    number: int = Field(description="From 1.")
    question: int = Field(description="Number of the question.")
    sites: list[Text] = Field(description="The functions that were asked about.")
    status: Literal["passes", "better", "fails", "breaks", "unchanged", "duplicate", "no_code"] = (
        Field(
            description="All wanted tests pass; some do; none does; others break; the code is as "
            "it was; it was tried before; nothing in the answer fits the file."
        )
    )
    fixed: int = Field(description="How many of the wanted tests pass.")
    wanted: int = Field(description="How many there are.")
    broken: list[Text] = Field(description="Tests that passed before, some of them.")
    failure: Text = Field(description="What the first failing test says.")
    diff: Text = Field(description="The change, for people.")
    seconds: float = Field(description="What the tests took.")


class Chosen(BaseModel):
    """Guided solving: a candidate goes to the proof; without a number, none does."""

    candidate: int | None = Field(description="Its number.")
    why: Text = Field(description="One sentence for people.")


class Progress(BaseModel):
    """What takes its time now; told, but not stored."""

    phase: Text = Field(description="What it belongs to.")
    text: Text = Field(description="One line for people.")


MODELS: dict[str, type[BaseModel]] = {
    "run_started": RunStarted,
    "snapshot": SnapshotTaken,
    "environment": EnvironmentReady,
    "baseline": BaselineRun,
    "request": Asked,
    "response": Response,
    "discarded": Discarded,
    "tool_intent": ToolIntent,
    "tool_result": ToolResult,
    "tree": TreeChanged,
    "compaction": Compaction,
    "verification": Verification,
    "handover": Handover,
    "run_finished": RunFinished,
    "instruction": Instruction,
    "suspects": Suspects,
    "reproduction": ReproductionFound,
    "question": Question,
    "answer": QuestionAnswered,
    "candidate": CandidateTried,
    "chosen": Chosen,
}
"""The stored kinds, in the order of a run."""
