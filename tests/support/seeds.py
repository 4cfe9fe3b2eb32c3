"""A scripted model that answers each attempt by a script of its own, told apart by their seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reapair.agent.attempts.attempts import seed_of

Turns = list[dict[str, Any]]


def attempt_of(body: dict[str, Any]) -> int:
    """Return the attempt that a chat request belongs to; its resamples count the seed up."""
    return 1 + (int(body["seed"]) - seed_of(1)) // (seed_of(2) - seed_of(1))


def by_attempt(scripts: Mapping[int, Turns], otherwise: Turns) -> list[Callable[..., Any]]:
    """Return turns for a scripted server that answer by attempt and by length of its history.

    Args:
        scripts: by number of the attempt.
        otherwise: for the attempts that have none.
    """

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        turns = scripts.get(attempt_of(body), otherwise)
        said = sum(message["role"] == "assistant" for message in body["messages"])
        return turns[min(said, len(turns) - 1)]

    return [answer] * 2_000
