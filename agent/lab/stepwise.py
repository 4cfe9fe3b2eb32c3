"""A run as an environment for training code: it asks, you answer, until it is done.

It is a run like every other (tools, repair of calls, budget, proof); only the model is outside.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from reapair.agent.loop.cancel import Cancel
from reapair.agent.model.in_process import Count, InProcessModel, estimate
from reapair.agent.model.types import Message
from reapair.agent.result import Result, Verdict
from reapair.agent.settings.settings import Settings
from reapair.agent.surfaces.report.reported import solve
from reapair.sandbox import Sandbox
from reapair.tools import Tool


@dataclass(frozen=True, slots=True)
class Observed:
    """What the model is asked next, or how it ended.

    Attributes:
        messages: the whole conversation; it begins with the one before, but for compactions.
        tools: schemas of the tools, the same in each step.
        done: the run has ended: `result` is set, and there is nothing to answer.
        reward: of the result; 0.0 before it.
    """

    messages: list[Message]
    tools: list[dict[str, Any]]
    done: bool = False
    reward: float = 0.0
    result: Result | None = None


def proved(result: Result) -> float:
    """Return 1.0 for a proved change, else 0.0: the reward where you give none."""
    return 1.0 if result.verdict is Verdict.PROVED else 0.0


class StepEnvironment:
    """One issue in one repository as `reset`, `step`, `close`; a context manager.

    Args:
        issue: its text.
        repository: a directory inside a git repository; only read.
        settings: default: what the environment says, with no branch made and nothing kept.
        tools: of your own, after the built-in ones.
        make_sandbox: returns another sandbox of your own each time.
        reward: of a finished run.
        context_tokens: what the model's context holds; the conversation is compacted to fit.
        count: returns the tokens of a prompt; default: one for three characters.
    """

    def __init__(
        self,
        issue: str,
        repository: Path | str = ".",
        settings: Settings | None = None,
        *,
        tools: Sequence[Tool[Any]] = (),
        make_sandbox: Callable[[], Sandbox] | None = None,
        reward: Callable[[Result], float] = proved,
        context_tokens: int = 65_536,
        count: Count = estimate,
    ) -> None:
        self._issue = issue
        self._repository = repository
        given = settings or Settings(keep=False, branch=False)
        # Each step is one of the loop's: guided solving asks questions of its own.
        self._settings = given.model_copy(update={"strategy": "loop"})
        self._tools = tools
        self._make_sandbox = make_sandbox
        self._reward = reward
        self._context_tokens = context_tokens
        self._count = count
        self._model: _Outside | None = None
        self._cancel = Cancel()
        self._thread: threading.Thread | None = None

    def reset(self) -> Observed:
        """Begin the run anew and return the first request. Raises what `solve` raises."""
        self.close()
        self._cancel = Cancel()
        self._model = model = _Outside(self._context_tokens, self._count)

        def work() -> None:
            try:
                ended: Result | BaseException = solve(
                    self._issue,
                    self._repository,
                    self._settings,
                    model=model,
                    cancel=self._cancel,
                    tools=self._tools,
                    make_sandbox=self._make_sandbox,
                )
            except BaseException as error:
                ended = error
            model.asked.put(ended)

        self._thread = threading.Thread(target=work, name="step-environment", daemon=True)
        self._thread.start()
        return self._next(model)

    def step(self, message: Message) -> Observed:
        """Answer the last request with an assistant message, and return the next one.

        Args:
            message: `content`, `reasoning_content`, `tool_calls` as in OpenAI's API, each of which
                may be missing; calls may also stand in the text as GLM writes them. A key
                `finish_reason` of `length` says that it was cut off.
        """
        if self._model is None or not self._model.waiting:
            raise RuntimeError("There is nothing to answer. Call reset first.")
        self._model.answers.put(message)
        return self._next(self._model)

    def close(self) -> None:
        """Stop the run, if one is at work, and wait for its end."""
        self._cancel.request()
        if self._thread is not None:
            self._thread.join()
        self._model = self._thread = None

    def __enter__(self) -> StepEnvironment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self, model: _Outside) -> Observed:
        asked = model.asked.get()
        model.waiting = isinstance(asked, Observed)
        if isinstance(asked, Observed):
            return asked
        if isinstance(asked, BaseException):
            raise asked
        return Observed([], [], done=True, reward=self._reward(asked), result=asked)


class _Outside(InProcessModel):
    """The `Model` whose answers come from `step`."""

    def __init__(self, context_tokens: int, count: Count) -> None:
        super().__init__(self._hand_out, "outside", context_tokens, count)
        self.asked: SimpleQueue[Observed | Result | BaseException] = SimpleQueue()
        self.answers: SimpleQueue[Message | None] = SimpleQueue()
        self.waiting = False

    def _hand_out(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]
    ) -> Message | None:
        """Hand the request out and wait for what comes back."""
        self.asked.put(Observed(list(messages), list(tools)))
        return self.answers.get()

    def cancel(self) -> None:
        """Give up the request under way."""
        self.answers.put(None)
