"""One stream of events per run: the log, the screen, `--json` and the report all read it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

VERSION = 1

Kind = Literal[
    "run_started",
    "snapshot",
    "environment",
    "baseline",
    "request",
    "response",
    "discarded",
    "tool_intent",
    "tool_result",
    "tree",
    "compaction",
    "verification",
    "handover",
    "run_finished",
    # Live only, never stored:
    "delta",
    "progress",
]

LIVE: frozenset[Kind] = frozenset({"delta", "progress"})


@dataclass(frozen=True, slots=True)
class Event:
    """One line of `events.jsonl`. `ts` is seconds since the epoch; `seq` counts from 1."""

    v: int
    run: str
    seq: int
    ts: float
    attempt: int
    step: int
    kind: Kind
    data: dict[str, Any]

    def to_json(self) -> str:
        """Return the event as one line of JSON, without the line break."""
        # ASCII, because a model can write lone surrogates and no other form holds them.
        fields = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> Event:
        """Read a line back. Raises ValueError or TypeError for one that is none of ours."""
        return cls(**json.loads(line))
