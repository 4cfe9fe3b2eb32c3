"""Sixteen runs side by side, in one process, with one directory of runs: none disturbs another."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from reapair.agent.log.event_log import read_events
from reapair.agent.result import Result
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import solve
from support.proved import FAST, proved_task
from support.scripted_server import ScriptedServer
from support.tasks import turn

RUNS = 16


@pytest.mark.slow
def test_sixteen_runs_in_one_process(tmp_path: Path) -> None:
    here = Path.cwd()
    together = threading.Barrier(RUNS, timeout=120)

    def one(number: int, server: ScriptedServer) -> Result:
        task = proved_task(tmp_path / "repositories" / str(number))
        settings = Settings(base_url=server.base_url, sandbox="none", runs=tmp_path / "runs",
                            test_command=FAST, max_steps=2)  # fmt: skip
        together.wait()
        return solve(f"issue {number}", task.repository, settings)

    with ExitStack() as stack, ThreadPoolExecutor(RUNS) as pool:
        servers = [
            stack.enter_context(ScriptedServer([
                turn("bash", command=f"echo {number} > number.txt; sleep 0.2; cat number.txt"),
                turn("edit", path="calc.py", old_str="/ (len(values) - 1)",
                     new_str="/ len(values)"),
            ]))
            for number in range(RUNS)
        ]  # fmt: skip
        results = list(pool.map(one, range(RUNS), servers))
        asked = [server.chats for server in servers]
    assert len({result.run_id for result in results}) == RUNS
    for number, (result, chats) in enumerate(zip(results, asked, strict=True)):
        assert result.exit_reason == "step_limit", result.error
        assert (tmp_path / "repositories" / str(number)).samefile(
            read_events(result.directory)[0].data["repository"]
        )
        assert f"+{number}\n" in result.patch
        assert result.branch == f"agent/issue-{number}"
        words = json.dumps(chats)
        assert f"issue {number}" in words
        assert not [other for other in range(RUNS) if f"issue {other}\\n" in words.replace(
            f"issue {number}", "")]  # fmt: skip
    assert Path.cwd() == here
