"""The MCP server, driven by the official client over standard input and output."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp_types import CallToolResult, ListRootsResult, Root, TextResourceContents

from support.proved import FAST, proved_task
from support.scripted_server import ScriptedServer
from support.tasks import Task, script, turn

pytestmark = pytest.mark.slow


@asynccontextmanager
async def connected(
    tmp_path: Path, base_url: str, *arguments: str, roots: list[str] | None = None
) -> AsyncIterator[Client]:
    server = StdioServerParameters(
        command=sys.executable,
        args=[
            "-P",
            "-m",
            "reapair",
            "mcp",
            "--base-url",
            base_url,
            "--sandbox",
            "none",
            *arguments,
        ],
        env={"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "none")},
        cwd=tmp_path,
    )

    async def list_roots(_: Any) -> ListRootsResult:
        return ListRootsResult(roots=[Root.model_construct(uri=uri) for uri in roots or ()])

    asked = {"list_roots_callback": list_roots, "mode": "legacy"} if roots is not None else {}
    async with Client(server, **asked) as client:
        yield client


def data_of(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


def words_of(result: CallToolResult) -> str:
    assert result.is_error
    return str(getattr(result.content[0], "text", ""))


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return proved_task(tmp_path / "proved")


def test_an_issue_is_solved_shown_and_applied(task: Task, tmp_path: Path) -> None:
    heard: list[str] = []

    async def progress(_: float, __: float | None, message: str | None) -> None:
        heard.append(message or "")

    async def drive(base_url: str) -> None:
        options = ("--root", str(task.repository.parent), "--allow-apply")
        async with connected(tmp_path, base_url, *options) as client:
            asked = {"issue": task.issue, "repository": str(task.repository), "test_command": FAST}
            solved = data_of(await client.call_tool("solve", asked, progress_callback=progress))
            assert (solved["status"], solved["verdict"]) == ("finished", "proved")
            assert any("failed before, passed after" in line for line in solved["evidence"])
            run_id = solved["run_id"]
            assert heard[0].startswith(f"run {run_id}: ")
            assert any("edit" in line for line in heard)
            assert data_of(await client.call_tool("run_status", {"run_id": run_id})) == solved
            patch = (await client.call_tool("patch", {"run_id": run_id})).content[0]
            assert getattr(patch, "text", "") == solved["patch"]
            page = (await client.read_resource(f"run://{run_id}/report")).contents[0]
            log = (await client.read_resource(f"run://{run_id}/log")).contents[0]
            assert isinstance(page, TextResourceContents)
            assert isinstance(log, TextResourceContents)
            assert "<html" in page.text
            assert json.loads(log.text.splitlines()[0])["kind"] == "run_started"
            status = ["git", "status", "--porcelain"]
            assert not subprocess.check_output(status, cwd=task.repository)
            await client.call_tool("apply", {"run_id": run_id})
            assert subprocess.check_output(status, cwd=task.repository)

    with ScriptedServer(script(task, task.gold)) as server:
        asyncio.run(drive(server.base_url))


def test_a_cancelled_run_can_be_continued(task: Task, tmp_path: Path) -> None:
    async def drive(base_url: str) -> None:
        async with connected(tmp_path, base_url, "--root", str(tmp_path)) as client:
            at_work = asyncio.Event()
            ids: list[str] = []

            async def progress(_: float, __: float | None, message: str | None) -> None:
                ids.append((message or "").split()[1].rstrip(":"))
                if "bash" in (message or ""):
                    at_work.set()

            asked = {"issue": task.issue, "repository": str(task.repository), "test_command": FAST}
            call = asyncio.create_task(client.call_tool("solve", asked, progress_callback=progress))
            await asyncio.wait_for(at_work.wait(), 60)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            for _ in range(600):
                state = data_of(await client.call_tool("run_status", {"run_id": ids[-1]}))
                if state["status"] == "stopped":
                    break
                await asyncio.sleep(0.1)
            assert state["status"] == "stopped"
            done = data_of(await client.call_tool("continue_run", {"run_id": ids[-1]}))
            assert (done["run_id"], done["verdict"]) == (ids[-1], "proved")

    turns = [turn("bash", command="sleep 20"), *script(task, task.gold)]
    with ScriptedServer(turns) as server:
        asyncio.run(drive(server.base_url))


def test_what_the_client_may_not_do(task: Task, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "proved/link").symlink_to(tmp_path / "elsewhere")

    async def drive(base_url: str) -> None:
        async with connected(tmp_path, base_url, "--root", str(tmp_path / "proved")) as client:
            assert "apply" not in [tool.name for tool in (await client.list_tools()).tools]
            for place in ("/", "..", str(tmp_path), "elsewhere", str(tmp_path / "proved/link")):
                asked = {"issue": "x", "repository": place}
                told = words_of(await client.call_tool("solve", asked))
                assert "is in no allowed folder" in told
            for run_id in ("", "nothing", "../..", "/etc"):
                told = words_of(await client.call_tool("run_status", {"run_id": run_id}))
                assert "There is no run" in told
            asked = {"issue": " ", "repository": str(task.repository)}
            assert "The issue is empty" in words_of(await client.call_tool("solve", asked))

    asyncio.run(drive("http://127.0.0.1:9/v1"))


@pytest.mark.parametrize(
    ("uris", "allowed"),
    [
        (["file:///"], False),
        (["https://example.org/", "file://elsewhere/tmp", "file:", "file:///%00"], False),
        (["file:///nowhere/at/all"], False),
        ([], False),
        (["file:///", "PROVED"], True),
    ],
)
def test_roots_of_the_client(task: Task, tmp_path: Path, uris: list[str], allowed: bool) -> None:
    named = [(tmp_path / "proved").as_uri() if uri == "PROVED" else uri for uri in uris]

    async def drive() -> str:
        async with connected(tmp_path, "http://127.0.0.1:9/v1", roots=named) as client:
            asked = {"issue": "It is broken", "repository": str(task.repository)}
            return words_of(await client.call_tool("solve", asked))

    refused = "is in no allowed folder" in asyncio.run(drive())
    assert refused is not allowed


def test_too_many_runs_are_refused(task: Task, tmp_path: Path) -> None:
    async def drive(base_url: str) -> None:
        async with connected(tmp_path, base_url, "--root", str(tmp_path)) as client:
            asked = {"issue": task.issue, "repository": str(task.repository)}
            calls = [asyncio.create_task(client.call_tool("solve", asked)) for _ in range(6)]
            done, pending = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            assert "4 runs are at work" in words_of(done.pop().result())
            for call in pending:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    with ScriptedServer([turn("bash", command="sleep 30")] * 8) as server:
        asyncio.run(drive(server.base_url))
