"""One stream of events per run: the log, the screen, `--json` and the report all read it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from pydantic import BaseModel

Body = TypeVar("Body", bound="BaseModel")
"""One of the models in `agent.log.formats`."""

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
    "instruction",
    "suspects",
    "reproduction",
    "question",
    "answer",
    "candidate",
    "chosen",
    # Live only, never stored:
    "delta",
    "progress",
]

LIVE: frozenset[Kind] = frozenset({"delta", "progress"})


class FormatError(Exception):
    """A line that is no event of this version. The message goes on from where the line is."""


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

    def read(self, model: type[Body]) -> Body:
        """Return what the event holds, as the model of its kind; it is not checked again."""
        return model.model_construct(**self.data)

    @classmethod
    def from_json(cls, line: str) -> Event:
        """Read a line back.

        Raises ValueError or TypeError for one that is not whole, FormatError for a whole one that
        is not as `agent.formats` says.
        """
        event = cls(**json.loads(line))
        event.check()
        return event

    def check(self) -> None:
        """Raise FormatError when the event is not as its version and kind say."""
        from pydantic import ValidationError

        from reapair.agent.log.formats import MODELS

        if not isinstance(self.v, int) or self.v > VERSION or self.kind not in MODELS:
            raise FormatError(
                f"was written by a later version of this program (format {self.v}, {self.kind}). "
                "Update it to read this run."
            )
        try:
            MODELS[self.kind].model_validate(self.data)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise FormatError(f"is damaged: {self.kind} {place}: {first['msg']}.") from None


def one_at_a_time(on_event: Callable[[Event], None]) -> Callable[[Event], None]:
    """Return a listener that several threads may call."""
    lock = threading.Lock()

    def tell(event: Event) -> None:
        with lock:
            on_event(event)

    return tell
