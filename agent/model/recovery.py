"""The recovery of every outcome: one table, read from left to right as bad answers follow.

A bad answer is never stored. First the same prefix is sampled again, which costs nearly nothing
because it is cached; then the model is told what was wrong; then a call is forced; then the run
ends under the name the row gives. Feedback goes out as a `system` message: GLM's template erases
earlier reasoning when a `user` message comes, and a `system` message never does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from reapair.agent.model.types import Outcome, Server

Action = Literal["accept", "resample", "feedback", "force", "compact", "wait", "stop"]

WIRE = frozenset(
    {Outcome.OVERFLOW, Outcome.BAD_HISTORY, Outcome.UNAVAILABLE, Outcome.BROKEN_STREAM}
)
"""Outcomes that are no fault of the model's. Count them apart from its bad answers."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What to do about an outcome.

    `options` are the fields of `RequestOptions` for the next request. `feedback` names the template
    to append before it. `exit_reason` is set for `stop`. `seconds` is how long `wait` may take; a
    tenth of that is waited in any case, for a server that is there but busy.
    """

    action: Action
    options: dict[str, Any] = field(default_factory=dict)
    feedback: str | None = None
    exit_reason: str | None = None
    seconds: float = 0.0


def _resample(**options: Any) -> Recovery:
    return Recovery("resample", options)


def _tell(template: str, **options: Any) -> Recovery:
    return Recovery("feedback", options, feedback=f"feedback/{template}")


def _wait(seconds: float) -> Recovery:
    return Recovery("wait", seconds=seconds)


def _stop(exit_reason: str) -> Recovery:
    return Recovery("stop", exit_reason=exit_reason)


_ACCEPT = Recovery("accept")
_COMPACT = Recovery("compact")
# Without thinking the call can't end up inside an unclosed think block, which `required` allows.
_FORCE = Recovery("force", {"force_call": True, "thinking": False})
_LESS_THINKING = 2_048

TABLE: dict[Outcome, tuple[Recovery, ...]] = {
    Outcome.TOOL_CALLS: (_ACCEPT,),
    # A text is stored, and llama.cpp would go on writing a history that ends in one.
    Outcome.FINAL_TEXT: (
        _tell("text"),
        _tell("text"),
        *[replace(_FORCE, feedback="feedback/text")] * 2,
        _stop("no_submit"),
    ),
    Outcome.REASONING_ONLY: (
        _resample(thinking_tokens=_LESS_THINKING),
        _tell("reasoning_only"),
        _FORCE,
        _stop("format_error"),
    ),
    Outcome.EMPTY: (
        _resample(),
        _resample(),
        _tell("empty"),
        _FORCE,
        _stop("format_error"),
    ),
    Outcome.TRUNCATED: (
        _resample(thinking_tokens=_LESS_THINKING),
        _tell("truncated", thinking_tokens=_LESS_THINKING),
        _FORCE,
        _stop("format_error"),
    ),
    Outcome.REPETITION: (
        _resample(),
        _resample(thinking_tokens=_LESS_THINKING),
        _tell("repetition", thinking_tokens=_LESS_THINKING),
        _FORCE,
        _stop("loop"),
    ),
    Outcome.FORMAT_ERROR: (
        _resample(),
        _resample(),
        _tell("format_error"),
        _resample(stream=False),
        _FORCE,
        _stop("format_error"),
    ),
    Outcome.OVERFLOW: (_COMPACT, _COMPACT, _stop("context_limit")),
    Outcome.REFUSED: (_resample(), _tell("refused"), _stop("format_error")),
    # Every request is sent in a form that servers take: what they still refuse won't change.
    Outcome.BAD_HISTORY: (_stop("model_error"),),
    Outcome.BAD_REQUEST: (_stop("model_error"),),
    Outcome.UNAVAILABLE: (
        _wait(10),
        _wait(30),
        _wait(60),
        _wait(120),
        _wait(240),
        _stop("model_error"),
    ),
    Outcome.BROKEN_STREAM: (
        _resample(),
        _wait(10),
        _resample(stream=False),
        _wait(60),
        _stop("model_error"),
    ),
    Outcome.AUTH: (_stop("model_error"),),
    Outcome.NOT_FOUND: (_stop("model_error"),),
    Outcome.CANCELLED: (_stop("cancelled"),),
}


def decide(outcome: Outcome, count: int, *, rescue: bool = True) -> Recovery:
    """Return what to do about an outcome.

    Args:
        outcome: of the last answer.
        count: which bad answer in a row it is, from 1; outcomes in WIRE are counted for themselves.
        rescue: False ends the run where a better answer would be asked for, and never moves seed or
            temperature: for training, where only the model's own first word counts.

    Returns:
        The recovery; its `options["retry"]` moves seed and temperature, so that the same prefix is
        never sampled twice in the same way. Past the end of a row it is the row's last entry.
    """
    row = TABLE[outcome]
    if not rescue and outcome not in WIRE:
        # A text is no bad sample: it stays in the history, and is answered.
        kept = ("accept", "stop", *(("feedback",) if outcome is Outcome.FINAL_TEXT else ()))
        row = tuple(each for each in row if each.action in kept)
    recovery = row[min(max(count, 1), len(row)) - 1]
    if recovery.action in ("accept", "stop"):
        return recovery
    if not rescue:
        return recovery
    return replace(recovery, options={"retry": count, **recovery.options})


def wait_until_ready(
    server: Server, seconds: float, cancelled: Callable[[], bool] = lambda: False
) -> bool:
    """Wait until the server says that it is ready, up to `seconds`; return whether it did."""
    from reapair.agent.model.server_probe import SECONDS
    from reapair.agent.model.servers import is_ready

    started = time.monotonic()
    while not cancelled() and (waited := time.monotonic() - started) < seconds:
        if waited >= seconds / 10 and is_ready(server, min(SECONDS, seconds - waited)):
            return True
        time.sleep(min(0.5, seconds - waited))
    return False
