"""Headers of the user's own: sent to the server they were given for, and shown nowhere."""

from __future__ import annotations

import json
from pathlib import Path

from reapair.agent.model.connect import connect
from reapair.agent.model.types import RequestOptions
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import solve
from reapair.agent.surfaces.doctor import diagnose
from support.scripted_server import ScriptedServer
from support.tasks import own_tasks, script, turn

SECRET = "tenant-4711-secret"
HEADERS = {"X-Tenant": SECRET, "Authorization": "Basic dXNlcjpwYXNz"}


def test_every_request_has_them(tmp_path: Path) -> None:
    with ScriptedServer([turn("bash", command="true")] * 9) as server:
        settings = Settings(base_url=server.base_url, headers=HEADERS, sandbox="none")
        model = connect(settings)
        model.ask([{"role": "user", "content": "x"}], [], RequestOptions())
        model.count([{"role": "user", "content": "x"}], [])
        list(diagnose(settings))
        asked = [request.headers for request in server.requests]
    assert len(asked) > 5
    assert {headers.get("x-tenant") for headers in asked} == {SECRET}
    assert {headers.get("authorization") for headers in asked} == {HEADERS["Authorization"]}


def test_the_log_and_the_result_have_none(tmp_path: Path) -> None:
    task = own_tasks(tmp_path / "tasks")[0]
    with ScriptedServer([*script(task, []), turn("bash", command=f"echo {SECRET}")]) as server:
        settings = Settings(
            base_url=server.base_url, headers=HEADERS, sandbox="none", runs=tmp_path / "runs"
        )
        result = solve(f"{task.issue} {SECRET}", task.repository, settings)
        assert server.requests[-1].headers["x-tenant"] == SECRET
    kept = [path for path in result.directory.rglob("*") if path.is_file()]
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]
    first = json.loads((result.directory / "events.jsonl").read_text().partition("\n")[0])
    assert "headers" not in first["data"]["settings"]
