"""How much of each prompt the server had already: a scripted run on a real llama.cpp.

    python benchmarks/cache.py [STEPS] [MODEL.gguf]

Every request goes to the server and its timings are read; its answer is then replaced by a scripted
one, so that any model will do. Reusable are the tokens of the request before. Also prints what the
run wrote to the disk.
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

from reapair.agent.model.client import Client
from reapair.agent.model.outcomes import classify
from reapair.agent.model.reply import RawCall, Reply
from reapair.agent.model.servers import detect
from reapair.agent.model.types import Answer, Message, Progress, RequestOptions, Usage
from reapair.agent.serve.embedded import EmbeddedServer
from reapair.agent.settings import Settings
from reapair.agent.solve import solve
from support.tasks import own_tasks


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
            model_file, context_tokens=65_536, log_file=Path(place) / "llama.log"
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


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 50,
        Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "tests/data/random.gguf",
    )
