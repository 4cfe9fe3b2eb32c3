"""Asking bounded questions: outside of any conversation, several at once where the server can."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reapair.agent.guided.ledger import Asked, Ledger
from reapair.agent.model.recovery import wait_until_ready
from reapair.agent.model.request import is_known
from reapair.agent.model.types import ModelError, Outcome, RequestOptions, SharedModel

if TYPE_CHECKING:
    from reapair.agent.loop.session import Session
    from reapair.agent.model.types import Answer, Model

_AT_ONCE = 4
_THINKING = 2_048
_COLD, _HOT = 0.2, 0.8
_TRIES = 3
_WAIT_SECONDS = 60.0


class ServerFault(Exception):  # noqa: N818
    """The server did not answer a question. The message is one line for people."""


class Questions:
    """Asks the run's server, and logs each question before and each answer after it."""

    def __init__(self, session: Session, ledger: Ledger) -> None:
        self._session = session
        self._ledger = ledger
        self._models: list[Model] = [session.model]
        self._looked = False

    @property
    def at_once(self) -> int:
        """How many questions the server answers side by side."""
        if not self._looked:
            self._looked = True
            self._find_slots()
        return len(self._models)

    def _find_slots(self) -> None:
        client = self._session.model
        # An attempt shares the server with the others.
        if not isinstance(client, SharedModel) or self._session.part == "attempt":
            return
        with suppress(ModelError):
            found = client.capacity(_AT_ONCE)
            for number in range(1, found.conversations):
                other = client.another(
                    seed=1 + number,
                    context_tokens=found.context_tokens,
                    overrides={"id_slot": None},
                )
                self._session.cancel.on_request(other.cancel)
                self._models.append(other)

    def ask(self, wanted: Sequence[Asked], max_tokens: int) -> list[dict[str, Any]]:
        """Return the answers' data in the order of the questions; known ones are not asked again.

        Raises Stopped when the run was asked to stop meanwhile, ServerFault without an answer.
        """
        session = self._session
        numbers = [self._ledger.begin(each) for each in wanted]
        open_ = [
            (number, each)
            for number, each in zip(numbers, wanted, strict=True)
            if self._ledger.answer(number) is None
        ]
        for start in range(0, len(open_), self.at_once):
            session.cancel.check()
            batch = open_[start : start + self.at_once]
            for (number, _), answer in zip(batch, self._batch(batch, max_tokens), strict=True):
                self._ledger.note_answer(number, answer)
        answers = [self._ledger.answer(number) for number in numbers]
        if any(answer is None for answer in answers):
            raise ServerFault(session.run.of_kind("answer")[-1].data["detail"])
        return [answer for answer in answers if answer is not None]

    def _batch(self, batch: Sequence[tuple[int, Asked]], max_tokens: int) -> list[Answer]:
        session = self._session
        left = session.settings.max_minutes * 60 - (time.monotonic() - session.started)
        timer = threading.Timer(max(left, 0.0), self._cancel)
        timer.daemon = True
        timer.start()
        try:
            with ThreadPoolExecutor(len(batch)) as pool:
                jobs = [
                    pool.submit(self._one, model, asked, max_tokens)
                    for model, (_, asked) in zip(self._models, batch, strict=False)
                ]
                answers = [job.result() for job in jobs]
        finally:
            timer.cancel()
        session.cancel.check()
        return answers

    def _one(self, model: Model, asked: Asked, max_tokens: int) -> Answer:
        """Ask one question; what is wrong with the wire is waited for, all else is an answer."""
        number = asked.sample + (10 * asked.follows if asked.follows else 0)
        thinks = is_known(model.server.family or model.server.model)
        options = RequestOptions(
            retry=number,
            temperature=_HOT if asked.sample else _COLD,
            max_tokens=max_tokens + (_THINKING if thinks else 0),
            thinking_tokens=_THINKING,
            rescue=False,
        )
        for attempt in range(_TRIES):
            answer = model.ask(asked.messages, (), options)
            if answer.outcome in (Outcome.UNAVAILABLE, Outcome.BROKEN_STREAM):
                wait_until_ready(model.server, _WAIT_SECONDS, self._stopped)
            elif answer.reasoning and not answer.content.strip() and options.thinking:
                # All of the budget was thought away: the rest is answered without.
                options = replace(options, thinking=False, max_tokens=max_tokens)
            else:
                break
            if self._stopped() or attempt == _TRIES - 1:
                break
        return answer

    def _stopped(self) -> bool:
        return self._session.cancel.requested

    def _cancel(self) -> None:
        for model in self._models:
            model.cancel()
