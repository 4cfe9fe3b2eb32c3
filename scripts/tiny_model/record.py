"""Record what the model will see: the real loop and tools, driven by the script in episode.py.

    python scripts/tiny_model/record.py RECORDED.json [--sandbox docker|podman|bubblewrap|none]

Runs in the project's own environment. Nothing of what is recorded may depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from episode import MISTYPED_KINDS, PLAIN, STEPS, Step, mistyped

from reapair.agent import demo
from reapair.agent.log.events import Event
from reapair.agent.model.types import (
    Answer,
    Message,
    Outcome,
    Progress,
    RequestOptions,
    Server,
    ToolCall,
)
from reapair.agent.result import Result, Verdict
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import solve


class Scripted:
    """A model that makes the calls it is told to, one a turn."""

    server = Server("other", "http://127.0.0.1", "scripted", 32768)

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps: Iterator[Step] = iter(steps)
        self._made = 0

    def ask(
        self,
        messages: Sequence[Message],  # noqa: ARG002
        tools: Sequence[dict[str, Any]],  # noqa: ARG002
        options: RequestOptions,  # noqa: ARG002
        on_progress: Callable[[Progress], None] | None = None,  # noqa: ARG002
    ) -> Answer:
        """Answer with the next call."""
        step = next(self._steps)
        self._made += 1
        call = ToolCall(f"call{self._made}", step.tool, step.arguments)
        function = {"name": call.name, "arguments": json.dumps(call.arguments)}
        message = {
            "role": "assistant",
            "content": "",
            "reasoning_content": step.reasoning,
            "tool_calls": [{"id": call.id, "type": "function", "function": function}],
        }
        return Answer(Outcome.TOOL_CALLS, message, (call,), reasoning=step.reasoning)

    def count(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> int:
        """Return a size that never is too much."""
        return len(messages) + len(tools)

    def cancel(self) -> None:
        """Nothing is under way."""


def play(steps: Sequence[Step], sandbox: Any) -> tuple[list[Event], Result]:
    """Let the real loop run the steps on the demonstration; return its events and its result."""
    events: list[Event] = []
    with tempfile.TemporaryDirectory() as place:
        repository = demo.unpack(Path(place) / "timesheet")
        settings = Settings(
            sandbox=sandbox,
            runs=Path(place) / "runs",
            max_steps=75,
            tools="demonstration",
            prompts=demo.PROMPTS,
        )
        result = solve(
            demo.ISSUE.read_text("utf-8"),
            repository,
            settings,
            model=Scripted(steps),
            on_event=events.append,
        )
    return events, result


def record(sandbox: Any) -> dict[str, Any]:
    """Return prompts, tools and observations. Raises SystemExit when the script proves nothing."""
    events, result = play([STEPS[name] for name in PLAIN], sandbox)
    if result.verdict is not Verdict.PROVED:
        raise SystemExit(f"The script in episode.py ends {result.verdict}: {result.evidence}")
    first = next(event for event in events if event.kind == "request").data["messages"]
    system, user = (message["content"] for message in first)
    issue = demo.ISSUE.read_text("utf-8").strip()
    if issue not in user:
        raise SystemExit("The issue does not stand in the first message as it is in its file.")
    tools = next(event for event in events if event.kind == "run_started").data["tools"]
    return {
        "system": system,
        "user": user,
        "issue": issue,
        "tools": tools,
        "observations": dict(zip(PLAIN, observations(events), strict=True)),
        **troubles(sandbox),
    }


def troubles(sandbox: Any) -> dict[str, Any]:
    """Return what the tools say to mistyped edits and to tests that tell something else."""
    wrong = {
        name: [with_arguments(STEPS[name], kind) for kind in range(MISTYPED_KINDS)]
        for name in ("reproduce", "fix")
    }
    steps = [STEPS["see_it_fail"], *wrong["reproduce"], STEPS["reproduce"], STEPS["see_it_pass"]]
    steps += [*wrong["fix"], STEPS["fix"], STEPS["submit"], STEPS["confirm"]]
    events, _ = play(steps, sandbox)
    not_reproduced, *rest = observations(events)
    return {
        "not_reproduced": not_reproduced,
        "mistyped": {
            "reproduce": rest[:MISTYPED_KINDS],
            "fix": rest[MISTYPED_KINDS + 2 : 2 * MISTYPED_KINDS + 2],
        },
        "not_fixed": rest[MISTYPED_KINDS + 1],
    }


def with_arguments(step: Step, kind: int) -> Step:
    """Return an edit's step, mistyped."""
    return Step(step.reasoning, step.tool, mistyped(step.arguments, kind), step.after)


def observations(events: Sequence[Event]) -> list[str]:
    """Return what the tools showed, in order."""
    return [event.data["content"] for event in events if event.kind == "tool_result"]


def main() -> None:
    """Read the command line and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sandbox", default="auto")
    arguments = parser.parse_args()
    recorded = record(arguments.sandbox)
    arguments.out.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
