"""Compaction: always fits, never parts a call from its result, and a run goes on after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reapair.agent.log.conversation import OPENING
from reapair.agent.loop.compaction import plan
from reapair.agent.result import ExitReason, Verdict
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import solve
from support.scripted_server import ScriptedServer
from support.tasks import own_tasks, script, turn

Messages = list[dict[str, Any]]


def conversation(sizes: list[list[int]]) -> Messages:
    """An opening, then a turn for each list, with a result of each size."""
    messages: Messages = [
        {"role": "system", "content": "s" * 200},
        {"role": "user", "content": "u" * 200},
    ]
    for number, results in enumerate(sizes):
        ids = [f"c{number}_{each}" for each in range(len(results))]
        calls = [
            {"id": i, "type": "function", "function": {"name": "read", "arguments": "{}"}}
            for i in ids
        ]
        messages.append({"role": "assistant", "content": "", "tool_calls": calls})
        messages += [
            {"role": "tool", "tool_call_id": i, "content": "x\n" * (size // 2)}
            for i, size in zip(ids, results, strict=True)
        ]
    return messages


def tokens(messages: Any) -> int:
    return len(json.dumps(messages)) // 3


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 20_000), min_size=1, max_size=3), max_size=25),
    st.integers(1_500, 30_000),
    st.sampled_from(["", "what was done\n" * 400]),
)
def test_it_always_fits_and_keeps_calls_with_their_results(
    sizes: list[list[int]], target: int, summary: str
) -> None:
    messages = conversation(sizes)
    made = plan(
        messages, [], target,
        count=tokens, summarise=lambda: summary, diff=lambda: "+ line\n" * 5_000,
    )  # fmt: skip
    after = made.apply(messages)
    assert tokens(after) <= max(target, tokens(messages[:OPENING]) + target)
    assert after[:OPENING] == messages[:OPENING]
    waiting: list[str] = []
    for message in after[OPENING:]:
        if message["role"] == "tool":
            assert message["tool_call_id"] == waiting.pop(0)
        else:
            assert not waiting
            waiting = [call["id"] for call in message.get("tool_calls", ())]
    assert not waiting


def test_the_mildest_plan_is_taken() -> None:
    messages = conversation([[8_000]] * 10)
    asked: list[int] = []

    def summarise() -> str:
        asked.append(1)
        return "done"

    made = plan(messages, [], 20_000, count=tokens, summarise=summarise, diff=str)
    assert made.stubs
    assert not made.insert
    assert not asked


@pytest.mark.engine
@pytest.mark.parametrize("context", [8_192, 16_384, 32_768])
def test_a_run_reads_far_more_than_fits(tmp_path: Path, context: int) -> None:
    task = own_tasks(tmp_path / "tasks")[0]
    for number in range(20):
        lines = (f"value_{number}_{line} = {line * number}\n" for line in range(1_000))
        (task.repository / f"data_{number}.py").write_text("".join(lines))
    reads = [
        turn("read", path=f"data_{number}.py", start_line=1 + 250 * part, end_line=250 + 250 * part)
        for number in range(20)
        for part in range(4)
    ]
    with ScriptedServer([*reads, *script(task, task.gold)], context=context) as server:
        chosen = Settings(base_url=server.base_url, runs=tmp_path / "runs", max_steps=100)
        result = solve(task.issue, task.repository, chosen)
    assert result.exit_reason is ExitReason.SUBMITTED
    assert result.verdict is Verdict.REGRESSION_FREE
    log = [json.loads(line) for line in (result.directory / "events.jsonl").open()]
    compactions = [event["data"] for event in log if event["kind"] == "compaction"]
    assert len(compactions) >= 3
    assert all(each["after"] < each["before"] for each in compactions)
    assert not [e for e in log if e["kind"] == "discarded" and e["data"]["outcome"] == "overflow"]


@pytest.mark.engine
def test_a_loop_is_warned_about_and_cut_at_last(tmp_path: Path) -> None:
    task = own_tasks(tmp_path / "tasks")[0]
    same = [turn("read", path="calc.py")] * 7
    with ScriptedServer([*same, *script(task, task.gold)]) as server:
        chosen = Settings(base_url=server.base_url, runs=tmp_path / "runs")
        result = solve(task.issue, task.repository, chosen)
        rewritten = server.rewritten()
    assert result.verdict is Verdict.REGRESSION_FREE
    log = [json.loads(line) for line in (result.directory / "events.jsonl").open()]
    warned = [
        e for e in log if e["kind"] == "tool_result" and "same result" in e["data"]["content"]
    ]
    assert warned
    [cut] = [e["data"] for e in log if e["kind"] == "compaction"]
    assert cut["reason"] == "loop"
    assert len(rewritten) == 1
