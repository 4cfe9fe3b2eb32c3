"""Going on with a run: another instruction, a copy from an earlier step, after a stop."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from reapair.agent.log.event_log import Run, RunError, read_events
from reapair.agent.log.fork import fork
from reapair.agent.log.listing import summaries
from reapair.agent.loop.cancel import Cancel
from reapair.agent.result import ExitReason, Result, Verdict
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import UsageError, resume, solve
from support.proved import FAST, proved_task
from support.scripted_server import ScriptedServer
from support.tasks import Task, script, turn

SECOND = [
    turn("edit", path="notes.txt", old_str="", new_str="second\n"),
    turn("submit", summary="More."),
    turn("submit", summary="More."),
]


@pytest.fixture
def calc(tmp_path: Path) -> Task:
    return proved_task(tmp_path / "task")


def begin(task: Task, server: ScriptedServer, tmp_path: Path, **settings: Any) -> Result:
    cancel, on_event = settings.pop("cancel", None), settings.pop("on_event", None)
    settings |= {"sandbox": "none", "runs": tmp_path / "runs", "test_command": FAST}
    chosen = Settings(base_url=server.base_url, **settings)
    return solve(task.issue, task.repository, chosen, cancel=cancel, on_event=on_event)


def again(result: Result, **options: Any) -> Result:
    return resume(Run(result.directory, result.run_id), **options)


def git(task: Task, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=task.repository, capture_output=True, text=True, check=True
    ).stdout


def test_a_finished_run_takes_another_instruction(calc: Task, tmp_path: Path) -> None:
    steps = {"max_steps": 5}
    with ScriptedServer([*script(calc, calc.gold), *SECOND]) as server:
        first = begin(calc, server, tmp_path, **steps)
        log = (first.directory / "events.jsonl").read_bytes()
        second = again(first, instruction="Now write notes.txt too.")
        assert server.rewritten() == []
        asked = server.chats[4]["messages"]
    assert asked[-1] == {"role": "user", "content": "Now write notes.txt too."}
    assert asked[-2]["role"] == "tool"
    assert (first.branch, second.branch) == ("agent/mean-is-too-large", "agent/mean-is-too-large-2")
    assert second.exit_reason is ExitReason.SUBMITTED
    assert second.steps == 7
    assert set(second.files) == {"calc.py", "notes.txt"}
    assert git(calc, "rev-parse", f"{second.branch}^") == git(calc, "rev-parse", "HEAD")
    assert (first.directory / "events.jsonl").read_bytes().startswith(log)
    # Finished again, so that a resume does nothing.
    assert again(first) == second


def test_an_unchanged_patch_makes_no_second_branch(calc: Task, tmp_path: Path) -> None:
    with ScriptedServer([*script(calc, calc.gold), *SECOND[1:]]) as server:
        first = begin(calc, server, tmp_path)
        second = again(first, instruction="Are you sure?")
    assert second.branch == first.branch
    assert git(calc, "branch", "--list", "agent/*").split() == [first.branch]


def test_an_applied_change_is_replaced(calc: Task, tmp_path: Path) -> None:
    better = turn("edit", path="calc.py", old_str="/ len(values)", new_str="/ (0 + len(values))")
    with ScriptedServer([*script(calc, calc.gold), better, *SECOND[1:]]) as server:
        first = begin(calc, server, tmp_path, apply=True)
        second = again(first, instruction="Add 0.")
    assert first.applied
    assert second.applied, second.note
    assert "/ (0 + len(values))" in (calc.repository / "calc.py").read_text()


def test_a_kill_behind_the_instruction_is_survived(calc: Task, tmp_path: Path) -> None:
    with ScriptedServer([*script(calc, calc.gold), *SECOND]) as server:
        first = begin(calc, server, tmp_path)
        run = Run(first.directory, first.run_id)
        run.append("instruction", first.steps, text="Now write notes.txt too.")
        run.close()
        assert [each.state for each in summaries(tmp_path / "runs")] == ["stopped"]
        second = again(first)
    assert "notes.txt" in second.files


def test_the_log_is_enough_without_any_checkpoint(calc: Task, tmp_path: Path) -> None:
    cancel = Cancel()

    def stop(event: Any) -> None:
        if event.kind == "tree":
            cancel.request()

    with ScriptedServer(script(calc, calc.gold)) as server:
        stopped = begin(calc, server, tmp_path, cancel=cancel, on_event=stop)
        assert stopped.exit_reason is ExitReason.CANCELLED
        for file in stopped.directory.glob("checkpoint*"):
            file.unlink()
        result = again(stopped)
        assert server.rewritten() == []
    assert result.verdict is Verdict.PROVED
    assert result.steps == 4


def test_a_run_goes_on_with_other_settings(calc: Task, tmp_path: Path) -> None:
    with ScriptedServer(script(calc, calc.gold)) as server:
        first = begin(calc, server, tmp_path, max_steps=1)
    assert first.exit_reason is ExitReason.STEP_LIMIT
    with ScriptedServer(SECOND) as server:
        words = ["--base-url", server.base_url, "--max-steps", "1", "--sandbox", "none", "--json"]
        command = ["continue", first.run_id, "Write notes.txt.", *words]
        ran = subprocess.run(
            [sys.executable, "-P", "-m", "reapair", *command], capture_output=True, text=True,
            check=False, env=os.environ | {"AGENT_RUNS": str(tmp_path / "runs")},
        )  # fmt: skip
        assert len(server.chats) == 1, ran.stdout + ran.stderr
    ends = [json.loads(line) for line in ran.stdout.splitlines() if '"run_finished"' in line]
    assert ends[-1]["data"]["result"]["exit_reason"] == "step_limit"


def test_a_stopped_run_can_be_told_another_way(calc: Task, tmp_path: Path) -> None:
    cancel = Cancel()
    two = turn("bash", command="sleep 1")
    two["tool_calls"].append({"name": "bash", "arguments": {"command": "touch second"}})

    def stop(event: Any) -> None:
        if event.kind == "response":
            cancel.request()

    with ScriptedServer([two, *SECOND]) as server:
        stopped = begin(calc, server, tmp_path, cancel=cancel, on_event=stop)
        assert "agent resume" in stopped.error
        result = again(stopped, instruction="Don't sleep; write notes.txt.")
        told = [m["content"] for m in server.chats[1]["messages"][-3:]]
    assert told == ["Not run: the user has stopped you here."] * 2 + [
        "Don't sleep; write notes.txt."
    ]
    assert result.files == ["notes.txt"]


def test_a_request_to_stop_lets_the_step_end_and_no_more(calc: Task, tmp_path: Path) -> None:
    cancel = Cancel()

    def stop(event: Any) -> None:
        if event.kind == "tool_intent":
            threading.Timer(0.2, cancel.request).start()

    turns = [turn("bash", command="sleep 1.5; echo done > done.txt"), *SECOND]
    with ScriptedServer(turns) as server:
        stopped = begin(calc, server, tmp_path, cancel=cancel, on_event=stop)
        assert len(server.chats) == 1
        assert (stopped.exit_reason, stopped.files) == (ExitReason.CANCELLED, ["done.txt"])
        assert read_events(stopped.directory)[-1].kind == "tool_result"
        assert again(stopped).files == ["done.txt", "notes.txt"]


def test_a_request_to_stop_ends_an_answer_under_way(calc: Task, tmp_path: Path) -> None:
    cancel = Cancel()

    def stop(event: Any) -> None:
        if event.kind == "request":
            threading.Timer(0.5, cancel.request).start()

    with ScriptedServer([turn("bash", command="true") | {"fault": "stall"}, *SECOND]) as server:
        started = time.monotonic()
        stopped = begin(calc, server, tmp_path, cancel=cancel, on_event=stop)
        assert time.monotonic() - started < 60
        assert stopped.exit_reason is ExitReason.CANCELLED
        assert "discarded" not in [event.kind for event in read_events(stopped.directory)]
        assert again(stopped).files == ["notes.txt"]


def test_the_token_limit_ends_by_name(calc: Task, tmp_path: Path) -> None:
    with ScriptedServer(script(calc, calc.gold)) as server:
        result = begin(calc, server, tmp_path, max_tokens=6_000)
    assert result.exit_reason is ExitReason.TOKEN_LIMIT
    assert 0 < result.usage.requests < 4


def test_a_lost_server_is_gone_on_from(
    calc: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = script(calc, calc.gold)
    with ScriptedServer([*turns[:2], {"fault": "bad_request"}]) as server:
        lost = begin(calc, server, tmp_path)
    assert lost.exit_reason is ExitReason.MODEL_ERROR
    assert [each.state for each in summaries(tmp_path / "runs")] == ["stopped"]
    with ScriptedServer(turns[2:]) as server:
        result = again(lost, changes={"base_url": server.base_url})
    assert (result.exit_reason, result.verdict) == ("submitted", "proved")


def test_an_instruction_needs_words_and_a_run_that_has_begun(calc: Task, tmp_path: Path) -> None:
    with ScriptedServer([{"fault": "bad_request"}]) as server:
        result = begin(calc, server, tmp_path)
    with pytest.raises(UsageError, match="empty"):
        again(result, instruction=" ")
    with pytest.raises(UsageError, match="has not begun"):
        again(result, instruction="x")


def test_a_fork_takes_another_way_and_leaves_the_first_alone(calc: Task, tmp_path: Path) -> None:
    with ScriptedServer([*script(calc, calc.gold), *SECOND]) as server:
        first = begin(calc, server, tmp_path)
        before = {path: path.read_bytes() for path in sorted(first.directory.rglob("*"))
                  if path.is_file()}  # fmt: skip
        copy = fork(first.directory, 2, tmp_path / "runs")
        second = resume(copy, instruction="Write notes.txt too.")
        chats = server.chats
    assert {path: path.read_bytes() for path in before} == before
    assert chats[4]["messages"][:-1] == chats[2]["messages"]
    assert (chats[4]["seed"], chats[4]["temperature"]) != (
        chats[2]["seed"],
        chats[2]["temperature"],
    )
    assert second.run_id != first.run_id
    assert second.files == ["calc.py", "notes.txt"]
    assert second.steps == 5
    started = read_events(second.directory)[0]
    assert started.data["forked_from"] == {"run": first.run_id, "step": 2, "number": 1}
    assert {event.run for event in read_events(second.directory)} == {second.run_id}


def test_a_fork_from_the_start_needs_no_first_run_any_more(calc: Task, tmp_path: Path) -> None:
    with ScriptedServer([*script(calc, calc.gold), *SECOND]) as server:
        first = begin(calc, server, tmp_path)
        copy = fork(first.directory, 0, tmp_path / "runs")
        shutil.rmtree(first.directory)
        second = resume(copy)
    assert second.files == ["notes.txt"]
    with pytest.raises(RunError, match="steps 0 to 3; 4 is none"):
        fork(second.directory, 4, tmp_path / "runs")


def test_an_instruction_survives_a_compaction(calc: Task, tmp_path: Path) -> None:
    words = "Keep the public names as they are."
    with ScriptedServer([*script(calc, calc.gold), *SECOND]) as server:
        first = begin(calc, server, tmp_path)
        second = again(first, instruction=words)
    from reapair.agent.log.conversation import Conversation
    from reapair.agent.loop.compaction import plan

    events = read_events(second.directory)
    messages = Conversation(events).messages
    made = plan(messages, events, 10, count=len, summarise=lambda: "Went well.", diff=lambda: "",
                looping=True)  # fmt: skip
    assert words in json.dumps(made.apply(messages))


def test_a_server_that_restarts_is_waited_for(calc: Task, tmp_path: Path) -> None:
    turns = script(calc, calc.gold)
    first = ScriptedServer(turns[:2])
    port = int(first.base_url.rsplit(":", 1)[1].partition("/")[0])
    second: list[ScriptedServer] = []

    def restart() -> None:
        time.sleep(2)
        second.append(ScriptedServer(turns[2:], port=port))

    def close(event: Any) -> None:
        if event.kind == "tool_result" and event.step == 2:
            first.close()
            threading.Thread(target=restart).start()

    result = begin(calc, first, tmp_path, on_event=close)
    second[0].close()
    assert (result.exit_reason, result.verdict) == ("submitted", "proved")
    assert [event.kind for event in read_events(result.directory)].count("discarded") >= 1
