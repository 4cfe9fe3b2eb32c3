"""Several attempts on real parts: git, engines, pytest; only the model is scripted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from reapair.agent.demo import CONTEXT_TOKENS, ISSUE, MODEL, unpack
from reapair.agent.log.event_log import Run, read_events
from reapair.agent.log.events import Event
from reapair.agent.result import ExitReason, Result, Verdict
from reapair.agent.serve.keep import EmbeddedServer
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import UsageError, resume, solve
from support.scripted_server import ScriptedServer
from support.seeds import attempt_of, by_attempt
from support.tasks import Edit, Task, own_tasks, script, turn

ANCHOR = "assert 0 <= clamp(value, 0, 10) <= 10"
TEST = "\n\ndef test_mean():\n    assert mean([2, 4]) == 3\n"
WROTE_TEST: Edit = ("test_calc.py", ANCHOR, ANCHOR + TEST)


@pytest.fixture
def calc(tmp_path: Path) -> Task:
    return own_tasks(tmp_path / "tasks")[0]


def attempts(
    task: Task,
    scripts: dict[int, list[dict[str, Any]]],
    tmp_path: Path,
    *,
    slots: int = 2,
    seen: list[Event] | None = None,
    **settings: Any,
) -> Result:
    """Make attempts by scripts; those without one submit nothing."""
    turns = by_attempt(scripts, script(task, []))
    with ScriptedServer(turns, slots=slots) as server:
        chosen = Settings(base_url=server.base_url, runs=tmp_path / "runs", **settings)
        on_event = seen.append if seen is not None else None
        result = solve(task.issue, task.repository, chosen, on_event=on_event)
        check_requests(server)
    return result


def check_requests(server: ScriptedServer) -> None:
    """Each attempt keeps to its slot and its history grows only; all begin with the same bytes."""
    by_number: dict[int, list[dict[str, Any]]] = {}
    for chat in server.chats:
        by_number.setdefault(attempt_of(chat), []).append(chat)
    for chats in by_number.values():
        assert len({chat.get("id_slot") for chat in chats}) == 1
        for before, after in pairwise(chats):
            assert after["messages"][: len(before["messages"])] == before["messages"]
    firsts = {json.dumps([chats[0]["tools"], chats[0]["messages"]]) for chats in by_number.values()}
    assert len(firsts) == 1


def branches(task: Task) -> list[str]:
    listed = subprocess.run(
        ["git", "branch", "--list", "agent/*"],
        cwd=task.repository, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return listed.stdout.split()


def result_of(result: Result, number: int) -> dict[str, Any]:
    """Return an attempt's own `result.json`."""
    file = result.directory.with_name(f"{result.run_id}.{number}") / "result.json"
    found: dict[str, Any] = json.loads(file.read_text())
    return found


@pytest.mark.engine
def test_the_attempt_that_is_right_is_chosen(calc: Task, tmp_path: Path) -> None:
    seen: list[Event] = []
    right = script(calc, [WROTE_TEST, *calc.gold])
    scripts = {1: script(calc, calc.gold), 3: right}
    result = attempts(calc, scripts, tmp_path, seen=seen, attempts=4, early_stop=False)
    assert result.verdict is Verdict.PROVED
    assert result.exit_code() == 0
    assert result.choice
    assert result.choice.attempt == 3
    assert [each.verdict for each in result.choice.candidates] == [
        Verdict.REGRESSION_FREE, Verdict.EMPTY, Verdict.PROVED, Verdict.EMPTY,
    ]  # fmt: skip
    assert "alone is proved" in result.choice.why
    assert len(branches(calc)) == 1
    assert result.branch == branches(calc)[0]
    stored = json.loads((result.directory / "result.json").read_text())
    assert stored["choice"]["attempt"] == 3
    assert stored["usage"]["requests"] > result_of(result, 3)["usage"]["requests"]
    # One baseline and one environment for all; every event says whose it is.
    assert {event.attempt for event in seen} == {1, 2, 3, 4}
    made = [event.run for event in seen if event.kind == "environment"]
    assert len(made) == 5
    assert [path.parent.name for path in result.directory.parent.glob("*/baseline.json")] == [
        result.run_id
    ]
    with pytest.raises(UsageError, match="several attempts"):
        resume(Run(result.directory, result.run_id), instruction="More.")
    one = f"{result.run_id}.1"
    with ScriptedServer([turn("submit", summary="Again.")] * 3) as server:
        again = resume(
            Run(result.directory.with_name(one), one),
            instruction="More.",
            changes={"base_url": server.base_url},
        )
    assert (again.run_id, again.verdict) == (one, Verdict.REGRESSION_FREE)


@pytest.mark.engine
def test_the_others_are_ended_when_one_is_proved(calc: Task, tmp_path: Path) -> None:
    slow = [turn("bash", command="sleep 120"), *script(calc, [])]
    right = script(calc, [WROTE_TEST, *calc.gold])
    started = time.monotonic()
    result = attempts(calc, {1: slow, 2: right, 3: slow}, tmp_path, attempts=3)
    assert time.monotonic() - started < 90
    assert result.verdict is Verdict.PROVED
    assert result.choice
    assert result.choice.attempt == 2
    assert "the others were ended" in result.choice.why
    assert result_of(result, 1)["exit_reason"] == ExitReason.SUPERSEDED
    containers = subprocess.run(
        ["docker", "ps", "-q", "--filter", f"label=io.reapair.run={result.run_id}.1"],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    assert containers == ""


@pytest.mark.engine
def test_a_broken_attempt_does_not_sink_the_others(calc: Task, tmp_path: Path) -> None:
    """One is refused by the server, one loses each of its sandboxes, one simply works."""
    refused = [{"fault": "unauthorized"}]
    busy = [turn("bash", command=f"echo {number}") for number in range(8)]

    def listen(event: Event) -> None:
        if event.attempt == 2 and event.kind == "tool_intent":
            label = f"label=io.reapair.run={event.run}"
            listed = ["docker", "ps", "-q", "--filter", label]
            found = subprocess.run(listed, capture_output=True, text=True, check=True)
            for container in found.stdout.split():
                subprocess.run(["docker", "rm", "-f", container], capture_output=True, check=True)

    turns = by_attempt({1: refused, 2: busy}, script(calc, calc.gold))
    with ScriptedServer(turns, slots=3) as server:
        chosen = Settings(base_url=server.base_url, runs=tmp_path / "runs", attempts=3)
        result = solve(calc.issue, calc.repository, chosen, on_event=listen)
    assert result.verdict is Verdict.REGRESSION_FREE
    assert result.choice
    assert result.choice.attempt == 3
    assert branches(calc) == [result.branch]


def command(tmp_path: Path, repository: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "reapair", *arguments],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")},
    )


@pytest.mark.engine
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.long)]
)
def test_a_stopped_run_goes_on(calc: Task, tmp_path: Path, number: int) -> None:
    """What has finished is not repeated, the rest goes on, the hand-over is made once."""
    free = threading.Event()
    waiting = threading.Event()
    right = [turn("bash", command="echo a >> a.txt"), *script(calc, calc.gold)]

    def later(body: dict[str, Any]) -> dict[str, Any]:
        said = sum(message["role"] == "assistant" for message in body["messages"])
        if attempt_of(body) == 1:
            return script(calc, [])[min(said, 2)]
        if said == 2 and not free.is_set():
            waiting.set()
            free.wait(60)
        return right[min(said, len(right) - 1)]

    with ScriptedServer([later] * 1_000, slots=2) as server:
        arguments = ["--base-url", server.base_url, "--attempts", "3"]
        process = command(tmp_path, calc.repository, "solve", "x y", *arguments)
        runs = tmp_path / "state/agent/runs"
        until = time.monotonic() + 120
        while not (waiting.is_set() and list(runs.glob("*.1/result.json"))):
            assert process.poll() is None, process.communicate()[0].decode()
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(number)
        said = process.communicate(timeout=60)[0].decode()
        free.set()
        assert process.returncode == (-9 if number == signal.SIGKILL else 130), said
        before = [attempt_of(chat) for chat in server.chats].count(1)
        [run_id] = [path.name for path in runs.iterdir() if "." not in path.name]
        resumed = command(tmp_path, calc.repository, "resume", run_id)
        said = resumed.communicate(timeout=200)[0].decode()
        assert [attempt_of(chat) for chat in server.chats].count(1) == before
    assert resumed.returncode == 9, said
    assert "[3]   3  edit calc.py" in said
    stored = json.loads((runs / run_id / "result.json").read_text())
    assert stored["choice"]["attempt"] == 2
    assert stored["choice"]["candidates"][1]["agreeing"] == 2
    assert branches(calc) == ["agent/x-y"]
    assert (runs / run_id / "patch.diff").read_text().count("+a") == 1
    listed = command(tmp_path, calc.repository, "runs").communicate()[0].decode()
    assert f"{run_id}.1" not in listed
    shown = command(tmp_path, calc.repository, "show", run_id).communicate()[0].decode()
    assert "attempt 3: regression_free" in shown


@pytest.mark.engine
@pytest.mark.llama
def test_slots_of_llama_cpp_keep_their_caches(tmp_path: Path) -> None:
    """Each attempt has its slot: what it has sent is never read again."""
    repository = unpack(tmp_path / "timesheet")
    runs = tmp_path / "runs"
    with EmbeddedServer(
        MODEL, context_tokens=4 * CONTEXT_TOKENS, slots=4, directory=tmp_path / "llama.log"
    ) as server:
        chosen = Settings(
            base_url=server.base_url, api_key=server.api_key, runs=runs,
            attempts=4, max_steps=3, early_stop=False,
        )  # fmt: skip
        result = solve(ISSUE.read_text("utf-8"), repository, chosen)
    prompt = cached = 0
    for number in range(1, 5):
        events = read_events(runs / f"{result.run_id}.{number}")
        asked = [each.data["usage"] for each in events if each.kind in ("response", "discarded")]
        assert asked
        for before, after in pairwise(asked):
            assert after["cached_tokens"] >= 0.9 * before["prompt_tokens"]
        prompt += sum(usage["prompt_tokens"] for usage in asked)
        cached += sum(usage["cached_tokens"] for usage in asked)
    print(f"{100 * cached / prompt:.0f} % of {prompt} prompt tokens reused")
