"""The library as hosts use it: threads, event loops, graphs, parts of their own."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import reapair
from reapair import Agent, Cancel, Settings, as_graph, grade, messages_of, solve
from reapair.sandbox.host.no_sandbox import NoSandbox
from support.proved import FAST, proved_task
from support.scripted_server import ScriptedServer
from support.tasks import Task, own_tasks, script, turn

pytestmark = pytest.mark.slow


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return own_tasks(tmp_path / "tasks")[0]


@pytest.fixture
def server(task: Task) -> Any:
    with ScriptedServer(script(task, [])) as server:
        yield server


def settings_for(server: ScriptedServer, tmp_path: Path, **more: Any) -> Settings:
    facts = {"sandbox": "none", "runs": tmp_path / "runs", "branch": False, **more}
    return Settings(base_url=server.base_url, **facts)


def test_the_result_has_it_all_and_nothing_is_kept_if_so_wished(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    task = proved_task(tmp_path / "proved")
    turns = script(task, task.gold)
    with ScriptedServer(turns) as server:
        settings = settings_for(server, tmp_path, test_command=FAST)
        result = solve(task.issue, task.repository, settings)
    with ScriptedServer(turns) as server:
        settings = settings_for(server, tmp_path / "gone", test_command=FAST, keep=False)
        gone = solve(task.issue, task.repository, settings)
    for each in (result, gone):
        assert (each.status, each.verdict, each.branch) == ("finished", "proved", None)
        assert each.evidence.reproduction[0].after == "passed"
        assert task.gold[0][2] in each.patch
        assert [message["role"] for message in messages_of(each)[:3]] == [
            "system",
            "user",
            "assistant",
        ]
        assert each.usage.requests == len(turns)
    assert set(result.files) == set(gone.files)
    assert result.paths["events.jsonl"].parent == result.directory
    assert (list((tmp_path / "gone" / "runs").iterdir()), gone.paths) == ([], {})
    assert capfd.readouterr() == ("", "")


def test_runs_side_by_side_in_threads(tmp_path: Path) -> None:
    tasks = own_tasks(tmp_path / "tasks")[:2]
    servers = [ScriptedServer(script(task, [])) for task in tasks]
    jobs = list(zip(tasks, servers, strict=True))
    with ThreadPoolExecutor(2) as pool:
        results = list(
            pool.map(
                lambda job: Agent(settings_for(job[1], tmp_path)).solve(
                    job[0].issue, job[0].repository
                ),
                jobs,
            )
        )
    for server in servers:
        server.close()
    assert [result.verdict for result in results] == ["empty", "empty"]
    for task, server in jobs:
        assert task.issue in server.chats[-1]["messages"][1]["content"]


def test_it_leaves_the_event_loop_free_and_hears_its_events(
    task: Task, server: ScriptedServer, tmp_path: Path
) -> None:
    async def host() -> tuple[list[str], int, Any]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        kinds = []
        async with Agent(settings_for(server, tmp_path)).stream(
            task.issue, task.repository
        ) as stream:
            async for event in stream:
                kinds.append(event.kind)
            result = await stream.result()
        ticking.cancel()
        return kinds, ticks, result

    kinds, ticks, result = asyncio.run(host())
    assert result.verdict == "empty"
    assert (kinds[0], "tool_result" in kinds) == ("run_started", True)
    assert kinds.count("run_finished") == 1
    assert ticks > 10


def test_what_keeps_it_from_beginning_is_raised(tmp_path: Path) -> None:
    async def host() -> None:
        agent = Agent(Settings(base_url="http://127.0.0.1:9/v1"))
        with pytest.raises(reapair.UsageError, match="git work tree"):
            await agent.asolve("x", tmp_path)
        with pytest.raises(reapair.UsageError, match="git work tree"):
            async for _ in agent.stream("x", tmp_path):
                pass

    asyncio.run(host())


@pytest.mark.parametrize("how", ["task", "stream", "handle"])
def test_it_can_be_stopped(task: Task, tmp_path: Path, how: str) -> None:
    async def host(agent: Agent, asked: asyncio.Event, cancel: Cancel) -> Any:
        if how == "stream":
            async with agent.stream(task.issue, task.repository) as stream:
                await asked.wait()
            return await stream.result()
        waiting = asyncio.create_task(agent.asolve(task.issue, task.repository, cancel=cancel))
        await asked.wait()
        if how == "handle":
            cancel.request()
            return await waiting
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return None

    async def run() -> Any:
        loop, asked = asyncio.get_running_loop(), asyncio.Event()

        def answer(_: Any) -> dict[str, Any]:
            loop.call_soon_threadsafe(asked.set)
            return turn("bash", command="true")

        with ScriptedServer([answer] * 99, seconds=0.3) as server:
            return await host(Agent(settings_for(server, tmp_path)), asked, Cancel())

    result = asyncio.run(run())
    assert result is None or (result.status, result.exit_reason) == ("stopped", "cancelled")
    assert not [each for each in threading.enumerate() if each.name == "reapair-run"]


def test_handlers_of_signals_stay_the_hosts(
    task: Task, server: ScriptedServer, tmp_path: Path
) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    solve(task.issue, task.repository, settings_for(server, tmp_path, max_steps=1))
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_sandboxes_of_the_hosts_own(task: Task, server: ScriptedServer, tmp_path: Path) -> None:
    made: list[NoSandbox] = []

    def make() -> NoSandbox:
        made.append(NoSandbox("own"))
        return made[-1]

    settings = Settings(base_url=server.base_url, runs=tmp_path / "runs", branch=False)
    result = Agent(settings, make_sandbox=make).solve(task.issue, task.repository)
    assert result.verdict == "empty"
    assert len(made) >= 2
    assert all(sandbox.closed for sandbox in made)


def test_inside_a_graph_of_the_hosts_own(
    task: Task, server: ScriptedServer, tmp_path: Path
) -> None:
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import END, START, StateGraph

    from reapair.agent.surfaces.compose import Task as State

    def shout(state: State) -> State:
        return {"issue": state["issue"].upper()}

    graph = StateGraph(State)
    graph.add_node("shout", shout)
    graph.add_node("solve", as_graph(Agent(settings_for(server, tmp_path))))
    graph.add_edge(START, "shout")
    graph.add_edge("shout", "solve")
    graph.add_edge("solve", END)
    whole = graph.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    begin: State = {"issue": task.issue, "repository": str(task.repository)}
    ended = asyncio.run(whole.ainvoke(begin, config))
    assert (ended["status"], ended["verdict"]) == ("finished", "empty")
    assert task.issue.upper() in server.chats[0]["messages"][1]["content"]


HIDDEN = "def test_mean_of_two():\n    assert mean([2, 4]) == 3\n\n\n"


def test_a_patch_is_graded_by_one_call(task: Task, tmp_path: Path) -> None:
    archive = tmp_path / "calc.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(task.repository, ".")
    marker = "def test_mean_of_zeros"
    instance = reapair.Instance(
        id="calc", schema_name="swe-bench", problem_statement=task.issue, archive=archive,
        fail_to_pass=["test_calc.py::test_mean_of_two"],
        pass_to_pass=["test_calc.py::test_mean_of_nothing"],
        test_patch=_patch(task.repository, "test_calc.py", marker, HIDDEN + marker),
    )  # fmt: skip
    path, old, new = task.gold[0]
    patch = _patch(task.repository, path, old, new)
    settings = Settings(sandbox="none", test_command=FAST)
    assert grade(instance, patch, settings).resolved
    assert grade(instance, "", settings).status == "empty"


def _patch(repository: Path, path: str, old: str, new: str) -> str:
    file = repository / path
    text = file.read_text()
    file.write_text(text.replace(old, new))
    patch = subprocess.run(["git", "diff"], cwd=repository, capture_output=True, check=True).stdout
    file.write_text(text)
    return patch.decode()
