"""The small state that travels along the graph and is kept in each checkpoint."""

from __future__ import annotations

from typing import Any, TypedDict


class State(TypedDict, total=False):
    """What a checkpoint holds.

    `next` is the node to go to, `step` counts finished steps. `bad` counts the bad answers in a
    row, `wire` those that were no fault of the model's. `options` and `feedback` belong to the
    request to come; `submission` is the id of the call that submitted, until its proof is
    answered; `proofs` counts proofs. `known` is what the first message says of an earlier try.
    `seen` is how much of the log the checkpoint knows: events beyond it were written by a node that
    did not come to its end.
    """

    next: str
    step: int
    bad: int
    wire: int
    options: dict[str, Any]
    feedback: str | None
    submission: str | None
    proofs: int
    known: str
    summary: str
    exit_reason: str
    error: str
    seen: int
