"""What is stored: checked when it is read, documented, private, and without secrets."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from reapair.agent.log.event_log import Run, RunError, read_events
from reapair.agent.log.formats import MODELS
from reapair.agent.log.listing import summaries
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import resume, solve
from reapair.sandbox.gateway.addresses import public_url
from support.proved import FAST, proved_task
from support.scripted_server import ScriptedServer
from support.tasks import script

ROOT = Path(__file__).parents[2]
STARTED = {"issue": "x", "repository": "y", "server": {}, "settings": {}, "tools": []}


def written(tmp_path: Path) -> Path:
    """Write a log of two events; return the run's directory."""
    run = Run(tmp_path / "1122-aaaaaa", "1122-aaaaaa")
    run.append("run_started", **STARTED)
    run.append("request", 1, messages=[])
    run.close()
    return run.directory


def test_the_document_is_the_models() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "scripts" / "document_events.py"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert (ROOT / "docs" / "events.md").read_text() == made


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"v":1', '"v":2', "later version"),
        ('"kind":"request"', '"kind":"vote"', "later version"),
        ('"messages":[]', '"messages":3', "damaged: request messages"),
        ('"messages":[]', '"message":[]', "damaged: request messages: Field required"),
    ],
)
def test_what_is_not_this_version_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    directory = written(tmp_path)
    log = directory / "events.jsonl"
    first, second = log.read_text().splitlines(keepends=True)
    log.write_text(first + second.replace(old, new) + second)
    content = log.read_bytes()
    for read in (lambda: read_events(directory), lambda: Run(directory, directory.name)):
        with pytest.raises(RunError, match=said):
            read()
    assert log.read_bytes() == content
    [summary] = summaries(tmp_path)
    assert summary.state == "unreadable"
    assert said in summary.issue


def test_damage_in_the_middle_is_not_cut_off(tmp_path: Path) -> None:
    directory = written(tmp_path)
    log = directory / "events.jsonl"
    first, second = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(first + second[:20] + b"\n" + second)
    content = log.read_bytes()
    with pytest.raises(RunError, match=r"line 2 of events\.jsonl is no event"):
        Run(directory, directory.name)
    assert log.read_bytes() == content


def test_blocks_that_a_power_failure_left_empty_are_cut_off(tmp_path: Path) -> None:
    directory = written(tmp_path)
    log = directory / "events.jsonl"
    content = log.read_bytes()
    log.write_bytes(content + b"\0" * 5_000)
    Run(directory, directory.name).close()
    assert log.read_bytes() == content


def test_unknown_fields_are_passed_over(tmp_path: Path) -> None:
    directory = written(tmp_path)
    log = directory / "events.jsonl"
    log.write_text(log.read_text().replace('"messages":[]', '"messages":[],"mood":"good"'))
    assert len(read_events(directory)) == 2


CANARIES = {
    "AGENT_API_KEY": "sk-canary-agent-0123456789",
    "OPENAI_API_KEY": "sk-canary-openai-0123456789",
    "flag": "sk-canary-flag-0123456789",
    "user": "canaryuser",
    "password": "canary%2Fpassword-0123",
    "query": "canary-query-0123456789",
}


@pytest.mark.parametrize("way", ["AGENT_API_KEY", "OPENAI_API_KEY", "flag"])
def test_no_key_is_ever_written(tmp_path: Path, way: str) -> None:
    task = proved_task(tmp_path / "repository")
    key = CANARIES[way]
    # A server that tells the key back, as some do in their errors.
    turns = [{"content": f"Your key is {key}."}, *script(task, task.gold)]
    environment = {name: value for name, value in os.environ.items() if "API_KEY" not in name}
    environment |= {"XDG_STATE_HOME": str(tmp_path / "state"), "AGENT_TEST_COMMAND": FAST}
    with ScriptedServer(turns, api_key=key) as server:
        flags = ["--api-key", key] if way == "flag" else []
        said = subprocess.run(
            [sys.executable, "-P", "-m", "reapair", "solve", task.issue, "--json", "--base-url",
             server.base_url, "--sandbox", "none", *flags],
            cwd=task.repository, capture_output=True, check=False,
            env=environment | ({} if flags else {way: key}),
        )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert key.encode() not in said.stdout + said.stderr
    assert_nowhere(tmp_path, key)


def test_an_address_keeps_its_secrets_for_itself(tmp_path: Path) -> None:
    task = proved_task(tmp_path / "repository")
    with ScriptedServer(script(task, task.gold)) as server:
        secret = f"{CANARIES['user']}:{CANARIES['password']}"
        address = server.base_url.replace("//", f"//{secret}@")
        settings = Settings(base_url=address, sandbox="none", runs=tmp_path / "runs",
                            max_steps=1, test_command=FAST)  # fmt: skip
        result = solve(task.issue, task.repository, settings)
        assert result.exit_reason == "step_limit"
        for canary in (CANARIES["user"], CANARIES["password"], "canary/password-0123"):
            assert_nowhere(tmp_path, canary)
        run = Run(result.directory, result.run_id)
        again = resume(run, instruction="Go on.", changes={"base_url": address})
    assert again.usage.requests == 2
    assert_nowhere(tmp_path, CANARIES["password"])
    assert public_url("http://u:p@host:1/v1?key=abc&x=y") == "http://***@host:1/v1?key=***&x=***"


def assert_nowhere(place: Path, canary: str) -> None:
    """Fail if any file holds the canary."""
    for file in place.rglob("*"):
        if file.is_file():
            assert canary.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_is_kept_is_private(tmp_path: Path, umask: int) -> None:
    task = proved_task(tmp_path / "repository")
    before = os.umask(umask)
    try:
        with ScriptedServer(script(task, task.gold)) as server:
            settings = Settings(base_url=server.base_url, sandbox="none", runs=tmp_path / "runs",
                                test_command=FAST)  # fmt: skip
            result = solve(task.issue, task.repository, settings)
    finally:
        os.umask(before)
    for path in (result.directory, *result.directory.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        # What git keeps lies behind the closed door of `store`.
        if "store" in path.relative_to(result.directory).parts[:-1]:
            continue
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_every_field_that_a_run_writes_is_documented(tmp_path: Path) -> None:
    task = proved_task(tmp_path / "repository")
    # An empty answer is asked for once more, without a stream, before it is discarded.
    turns = [{"content": ""}, {"content": ""}, *script(task, task.gold)]
    with ScriptedServer(turns) as server:
        settings = Settings(base_url=server.base_url, sandbox="none", runs=tmp_path / "runs",
                            test_command=FAST)  # fmt: skip
        result = solve(task.issue, task.repository, settings)
    lines = (result.directory / "events.jsonl").read_text().splitlines()
    for event in map(json.loads, lines):
        unknown = set(event["data"]) - set(MODELS[event["kind"]].model_fields)
        assert not unknown, (event["kind"], unknown)
    kinds = {json.loads(line)["kind"] for line in lines}
    guided = {"suspects", "reproduction", "question", "answer", "candidate", "chosen"}
    assert set(MODELS) - kinds == {"compaction", "instruction", *guided}
