"""What several attempts give and cost: the choice, the wall time, the prompt cache.

    python benchmarks/attempts.py [ATTEMPTS]

First one attempt, then ATTEMPTS (8) with and without the early stop, against a scripted model that
thinks a second about each answer and is right under one seed only. Then four attempts with the tiny
model on the real llama.cpp, with a slot for each.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from reapair.agent.demo import CONTEXT_TOKENS, ISSUE, MODEL, unpack
from reapair.agent.result import Result
from reapair.agent.serve.keep import EmbeddedServer
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import solve
from support.scripted_server import ScriptedServer
from support.seeds import by_attempt
from support.tasks import Task, own_tasks, script, turn

RIGHT = 5
"""The attempt whose seed the model is right under."""

TEST = "\n\ndef test_mean():\n    assert mean([2, 4]) == 3\n"
LOOKS = [turn("read", path="calc.py", start_line=line) for line in range(1, 7)]


def scripts(task: Task) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what the right attempt does, and what all others do: no fix, after a long search."""
    anchor = "assert 0 <= clamp(value, 0, 10) <= 10"
    path, old, _ = task.gold[0]
    right = script(task, [("test_calc.py", anchor, anchor + TEST), *task.gold])
    wrong = script(task, [(path, old, f"{old}  # checked"), (path, "Small sums", "Small tools")])
    return LOOKS + right, 3 * LOOKS + wrong


def scripted(attempts: int, *, early_stop: bool) -> tuple[Result, float]:
    """Make attempts with the scripted model; return the result and the seconds they took."""
    with tempfile.TemporaryDirectory() as place:
        task = own_tasks(Path(place) / "tasks")[0]
        right, wrong = scripts(task)
        alone = attempts == 1
        turns = by_attempt({1 if alone else RIGHT: right}, wrong)
        with ScriptedServer(turns, slots=attempts, seconds=1.0) as server:
            settings = Settings(
                base_url=server.base_url, runs=Path(place) / "runs",
                attempts=attempts, early_stop=early_stop,
            )  # fmt: skip
            started = time.monotonic()
            result = solve(task.issue, task.repository, settings)
            return result, time.monotonic() - started


def on_llama_cpp() -> Result:
    """Make four attempts at the demonstration with the tiny model, each in a slot of its own."""
    with tempfile.TemporaryDirectory() as place:
        repository = unpack(Path(place) / "timesheet")
        server = EmbeddedServer(
            MODEL, context_tokens=4 * CONTEXT_TOKENS, slots=4, directory=Path(place) / "log"
        )
        with server:
            settings = Settings(
                base_url=server.base_url, api_key=server.api_key, runs=Path(place) / "runs",
                attempts=4, max_steps=12, early_stop=False,
            )  # fmt: skip
            return solve(ISSUE.read_text("utf-8"), repository, settings)


def main() -> None:
    """Print the figures."""
    attempts = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    one, alone = scripted(1, early_stop=True)
    print(f"1 attempt: {one.verdict}, {alone:.1f} s, {one.usage.requests} requests")
    for early_stop in (True, False):
        result, seconds = scripted(attempts, early_stop=early_stop)
        choice = result.choice
        taken = f"attempt {choice.attempt} of {len(choice.candidates)}" if choice else "none"
        print(
            f"{attempts} attempts, early stop {'on' if early_stop else 'off'}: {result.verdict}, "
            f"{taken} taken, {seconds:.1f} s ({seconds / alone:.2f} times one), "
            f"{result.usage.requests} requests\n  {choice.why if choice else ''}"
        )
    usage = on_llama_cpp().usage
    rate = 100 * usage.cached_tokens / max(usage.prompt_tokens, 1)
    print(
        f"4 attempts on llama.cpp with 4 slots: {rate:.1f} % of {usage.prompt_tokens} prompt "
        f"tokens reused, {usage.requests} requests"
    )


if __name__ == "__main__":
    main()
