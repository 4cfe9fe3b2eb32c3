"""The gate for a new model file: the real loop, tools, sandbox and llama.cpp, many variants.

    python scripts/tiny_model/gate.py [MODEL.gguf] [--seeds N] [--sandbox KIND] [--random FILE]

Prints a table. Exits with 0 only when every episode with the model ends proved and none with the
random weights does.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
from template import render
from variants import VARIANTS, Conditions, Varied, conditions

from reapair.agent import demo
from reapair.agent.log.events import Event
from reapair.agent.model import request
from reapair.agent.model.client import Client
from reapair.agent.model.servers import detect
from reapair.agent.result import INFRASTRUCTURE, Result, Verdict
from reapair.agent.serve.keep import EmbeddedServer
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import solve

RANDOM = Path(__file__).parents[2] / "tests/data/random.gguf"
LONGEST_ANSWER = 500
"""Tokens an answer may have: twice what the right ones need, and random weights ramble."""


class Gate:
    """Runs episodes against one served model file."""

    def __init__(self, server: EmbeddedServer, sandbox: Any, *, verbose: bool) -> None:
        self._server = server
        self._sandbox = sandbox
        self._verbose = verbose

    def episode(self, wanted: Conditions, seed: int) -> tuple[Result, list[Event]]:
        """Play the demonstration once under the given conditions."""
        found = detect(self._server.base_url, api_key=self._server.api_key, model=None)
        client = Client(
            found, api_key=self._server.api_key, seed=1 + seed, max_tokens=LONGEST_ANSWER
        )
        events: list[Event] = []
        with tempfile.TemporaryDirectory() as place:
            result = solve(
                wanted.issue or demo.ISSUE.read_text("utf-8"),
                demo.unpack(Path(place) / "timesheet"),
                Settings(
                    sandbox=self._sandbox,
                    runs=Path(place) / "runs",
                    max_steps=20,
                    tools="demonstration",
                    prompts=demo.PROMPTS,
                ),
                model=Varied(client, wanted, seed),
                on_event=events.append,
            )
        if self._verbose:
            show(events)
        if result.exit_reason in INFRASTRUCTURE:
            sys.exit(f"This says nothing about the model: {result.exit_reason}, {result.error}")
        return result, events

    def row(self, variant: str, seeds: int) -> bool:
        """Play a variant with several seeds, print its line, tell whether all were proved."""
        verdicts: Counter[str] = Counter()
        steps, began = 0, time.monotonic()
        for seed in range(seeds):
            result, _ = self.episode(conditions(variant, seed), seed)
            verdicts[result.verdict.value] += 1
            steps += result.steps
        proved = verdicts.pop(Verdict.PROVED.value, 0)
        others = ", ".join(f"{count} {name}" for name, count in verdicts.items())
        seconds = (time.monotonic() - began) / seeds
        print(
            f"{proved}/{seeds} proved  {steps / seeds:4.1f} steps  {seconds:5.1f} s  {variant}"
            + (f"  ({others})" if others else ""),
            flush=True,
        )
        return proved == seeds

    def same_prompt(self) -> bool:
        """Check that training rendered conversations exactly as llama.cpp does."""
        _, events = self.episode(Conditions(), 0)
        tools = next(event for event in events if event.kind == "run_started").data["tools"]
        messages = list(conversation(events))
        found = detect(self._server.base_url, api_key=self._server.api_key, model=None)
        body = request.prompt(found, messages, tools, thinking=True)
        root = self._server.base_url.removesuffix("/v1")
        headers = {"Authorization": f"Bearer {self._server.api_key}"}
        with httpx2.Client(base_url=root, headers=headers, trust_env=False) as wire:
            chat = wire.get("/props").json()["chat_template"]
            theirs = wire.post("/apply-template", json=body).json()["prompt"]
        ours = render(chat, body["messages"], tools, answer_next=True)
        same = bool(ours == theirs)
        print(f"{'same' if same else 'OTHER'} prompt as in training ({len(theirs)} characters)")
        return same


def conversation(events: list[Event]) -> Any:
    """Yield the messages of a run."""
    for event in events:
        if event.kind == "request":
            yield from event.data["messages"]
        elif event.kind == "response":
            yield event.data["message"]
        elif event.kind == "tool_result":
            yield {"role": "tool", "content": event.data["content"]}


def show(events: list[Event]) -> None:
    """Print what happened, one line for each thing."""
    for event in events:
        if event.kind == "response":
            message = event.data["message"]
            calls = [call["function"] for call in message.get("tool_calls") or []]
            print(f"    {message.get('reasoning_content', '')[:60]!r} {str(calls)[:140]}")
        elif event.kind == "tool_result":
            print(f"      {event.data['content'][:100]!r}")
        elif event.kind in ("discarded", "verification"):
            print(f"    {event.kind}: {str(event.data)[:400]}")


def main() -> None:
    """Read the command line, run the matrix, exit with its outcome."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?", default=demo.MODEL)
    parser.add_argument("--random", type=Path, default=RANDOM)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--only", help="one variant")
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    log = Path(tempfile.mkdtemp()) / "llama.log"
    with EmbeddedServer(given.model, context_tokens=demo.CONTEXT_TOKENS, directory=log) as server:
        gate = Gate(server, given.sandbox, verbose=given.verbose)
        wanted = [given.only] if given.only else VARIANTS
        good = [gate.same_prompt(), *(gate.row(variant, given.seeds) for variant in wanted)]
    with EmbeddedServer(given.random, context_tokens=demo.CONTEXT_TOKENS, directory=log) as server:
        result, _ = Gate(server, given.sandbox, verbose=given.verbose).episode(Conditions(), 0)
    print(f"random weights: {result.verdict}, {result.exit_reason}")
    sys.exit(0 if all(good) and result.verdict is not Verdict.PROVED else 1)


if __name__ == "__main__":
    main()
