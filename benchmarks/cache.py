"""How much of each prompt the server had already: a scripted run on a real llama.cpp.

    python benchmarks/cache.py [STEPS] [MODEL.gguf]

Every request goes to the server and its timings are read; its answer is then replaced by a scripted
one, so that any model will do. Reusable are the tokens of the request before. Then prints what a
run of 800 messages of 5 kB writes to the disk, and one of half as many.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from steps import turns

from reapair.agent.model.call_assembly import RawCall
from reapair.agent.model.client import Client
from reapair.agent.model.outcomes import classify
from reapair.agent.model.reply import Reply
from reapair.agent.model.servers import detect
from reapair.agent.model.types import Answer, Message, Progress, RequestOptions, Server, Usage
from reapair.agent.serve.keep import EmbeddedServer
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import solve
from support.tasks import own_tasks

MESSAGE_BYTES = 5_000


class Scripted:
    """A model whose prompts are real and whose answers are not."""

    def __init__(self, client: Client, script: list[dict[str, Any]]) -> None:
        self._client = client
        self._script = iter(script)
        self.server = client.server
        self.count = client.count
        self.cancel = client.cancel
        self.usage: list[Usage] = []

    def ask(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],
        options: RequestOptions,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Answer:
        """Send the request for one token, and answer from the script."""
        real = self._client.ask(messages, tools, replace(options, max_tokens=1), on_progress)
        self.usage.append(real.usage)
        turn = next(self._script)
        [call] = turn["tool_calls"]
        raw = RawCall(f"call{len(messages)}", call["name"], json.dumps(call["arguments"]))
        reply = Reply(reasoning=turn["reasoning"], calls=[raw], finish_reason="tool_calls")
        return classify(reply, messages, tools, real.usage)


def main(steps: int, model_file: Path) -> None:
    """Run once and print the figures."""
    with (
        tempfile.TemporaryDirectory() as place,
        EmbeddedServer(
            model_file, context_tokens=65_536, directory=Path(place) / "llama.log"
        ) as server,
    ):
        found = detect(server.base_url, api_key=server.api_key)
        model = Scripted(Client(found, api_key=server.api_key), turns(steps))
        task = own_tasks(Path(place) / "tasks")[0]
        settings = Settings(
            base_url=server.base_url, runs=Path(place) / "runs", max_steps=steps + 1
        )
        result = solve(task.issue, task.repository, settings, model=model)
        written = sum(file.stat().st_size for file in result.directory.rglob("*") if file.is_file())
    pairs = list(pairwise(model.usage))
    reusable = sum(before.prompt_tokens or 0 for before, _ in pairs)
    reused = sum(min(now.cached_tokens or 0, before.prompt_tokens or 0) for before, now in pairs)
    sent = sum(usage.prompt_tokens or 0 for usage in model.usage)
    print(
        f"{len(model.usage)} requests, {sent} prompt tokens sent, {reused} of {reusable} reusable "
        f"ones reused: {reused / reusable:.4f}; {written / 1e6:.2f} MB written"
    )


class Reader:
    """A model without a server, of unknown context: reads one file all the time, then submits."""

    server = Server("other", "http://127.0.0.1:9/v1", "reader", None)

    def __init__(self, reads: int) -> None:
        read, submit = ("read", {"path": "long.txt"}), ("submit", {"summary": "Done."})
        self._calls = iter([read] * reads + [submit] * 2)

    def ask(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],
        *_: object,
    ) -> Answer:
        """Make the next call."""
        name, arguments = next(self._calls)
        raw = RawCall(f"call{len(messages)}", name, json.dumps(arguments))
        # As long as what is read, and never twice the same: that would be a loop.
        reply = Reply(
            reasoning=f"{len(messages)} ".ljust(MESSAGE_BYTES, "x"),
            calls=[raw],
            finish_reason="tool_calls",
        )
        return classify(reply, messages, tools, Usage())

    def count(self, *_: object) -> int:
        """Count nothing: there is no limit."""
        return 0

    def cancel(self) -> None:
        """Do nothing: no request takes any time."""


def bytes_written(messages: int) -> int:
    """Return what a run of so many messages leaves on the disk."""
    with tempfile.TemporaryDirectory() as place:
        task = own_tasks(Path(place) / "tasks")[0]
        (task.repository / "long.txt").write_text("word\n" * (MESSAGE_BYTES // 12))
        settings = Settings(runs=Path(place) / "runs", max_steps=messages)
        result = solve(task.issue, task.repository, settings, model=Reader(messages // 2))
        return sum(file.stat().st_size for file in result.directory.rglob("*") if file.is_file())


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 50,
        Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "tests/data/random.gguf",
    )
    half, whole = bytes_written(400), bytes_written(800)
    print(f"800 messages of 5 kB: {whole / 1e6:.2f} MB written, 400: {half / 1e6:.2f} MB")
