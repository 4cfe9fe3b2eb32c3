"""The command as people run it: exit codes, words, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest

from reapair.agent.settings.table import EFFORT, MODEL, RESULT, SETTINGS, WORK, SandboxKind
from reapair.agent.surfaces.cli.options import flags_of
from support.proved import FAST
from support.scripted_server import ScriptedServer
from support.tasks import Task, own_tasks, script, turn

ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(("AGENT_", "OPENAI_"))
} | {"AGENT_STRATEGY": "loop"}


def agent(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "reapair", *arguments]
    return subprocess.run(
        command,
        cwd=cwd,
        env=ENVIRONMENT | {"XDG_STATE_HOME": str(cwd / "state"), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@pytest.fixture
def calc(tmp_path: Path) -> Task:
    return own_tasks(tmp_path / "tasks")[0]


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    probe = (
        "import sys, reapair.agent.surfaces.cli as cli\n"
        "try: cli.app(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('langgraph', 'openai', 'docker', 'jinja2', 'pydantic') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", probe],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert "solve" in done.stdout
    assert done.stdout.rstrip().endswith("[]")


def helped(*arguments: str, columns: int = 100) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "reapair", *arguments, "-h"],
        capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": str(columns)},
    )  # fmt: skip
    return done.stdout


def test_help_says_every_option_whole_with_its_default() -> None:
    wide, narrow = helped("solve"), helped("solve", columns=40)
    words = " ".join(wide.replace("│", " ").split())
    for name, setting in SETTINGS.items():
        for flag in flags_of(name).split("/") if setting.option != "" else ():
            assert f"{flag} " in wide
            assert flag in narrow
    assert "[default: 75]" in words
    assert "[default: (looks on the usual local ports)]" in words
    for heading in (MODEL, WORK, EFFORT, RESULT, "Output"):
        assert f"─ {heading} ─" in wide


@pytest.mark.parametrize(("typed", "offered"), [("b", ["bubblewrap"]), ("", get_args(SandboxKind))])
def test_the_shell_completes_choices(typed: str, offered: Sequence[str]) -> None:
    asked = {
        "_AGENT_COMPLETE": "complete_bash",
        "COMP_WORDS": f"agent solve x --sandbox {typed}",
        "COMP_CWORD": "4",
    }
    command = [str(Path(sys.executable).with_name("agent"))]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | asked
    )
    assert done.stdout.split() == list(offered)


def test_another_folder_and_the_version(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path / "there")], check=True)
    (tmp_path / "there/.agent.toml").write_text('test-command = "x"\n')
    shown = agent("-C", "there", "config", "--json", cwd=tmp_path).stdout
    assert '"test_command", "value": "x"' in shown
    missing = agent("-C", "missing", "config", cwd=tmp_path)
    assert (missing.returncode, missing.stderr) == (
        2, "-C: missing: No such file or directory. Name a folder that exists.\n",
    )  # fmt: skip
    assert agent("-V", cwd=tmp_path).stdout == agent("--version", cwd=tmp_path).stdout != ""


def test_a_branch_of_a_name_of_ones_own(calc: Task) -> None:
    refused = agent("solve", "x", "--branch", "a..b", cwd=calc.repository)
    assert refused.returncode == 2
    assert "--branch" in refused.stderr
    with ScriptedServer(script(calc, calc.gold)) as server:
        done = agent(
            "solve", calc.issue, "--base-url", server.base_url, "--sandbox", "none",
            "--branch", "fix/mean", "--test-command", FAST, cwd=calc.repository,
        )  # fmt: skip
    assert done.returncode in (0, 9, 10), done.stdout + done.stderr
    listed = subprocess.run(
        ["git", "branch", "--list", "fix/mean"], cwd=calc.repository, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert "fix/mean" in listed.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["solve", "x y", "--max-steps", "0"], "--max-steps"),
        (["solve", "x y", "--nope"], "No such option: --nope"),
        (["sol", "x y"], "Did you mean 'solve'? See "),
        (["solve", "x y", "--sandbox", "chroot"], "--sandbox"),
        (["solve", "missing/issue.md"], "no file missing/issue.md"),
        (["solve", ""], "empty"),
    ],
)
def test_wrong_usage_exits_2_in_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    done = agent(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def test_no_server_exits_3_in_two_lines(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    done = agent("solve", "x", "--base-url", "http://127.0.0.1:9/v1", cwd=tmp_path)
    assert done.returncode == 3
    assert len(done.stderr.strip().splitlines()) == 2


def test_outside_a_repository_exits_2(tmp_path: Path) -> None:
    done = agent("solve", "x", "--base-url", "http://127.0.0.1:9/v1", cwd=tmp_path)
    assert done.returncode == 2


@pytest.mark.engine
def test_json_is_one_event_a_line(calc: Task) -> None:
    with ScriptedServer(script(calc, calc.gold)) as server:
        done = agent(
            "solve", calc.issue, "--json", cwd=calc.repository, AGENT_BASE_URL=server.base_url
        )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 9, done.stderr
    assert events[0]["kind"] == "run_started"
    assert events[-1]["kind"] == "run_finished"
    assert events[-1]["data"]["result"]["evidence"]["verdict"] == "regression_free"


@pytest.mark.engine
@pytest.mark.parametrize("way", ["text", "file", "stdin"])
def test_the_issue_arrives_whichever_way_it_is_given(calc: Task, tmp_path: Path, way: str) -> None:
    text = "mean() is wrong\n\nWith naïve \x1b[31mcolours\x1b[0m."
    (tmp_path / "issue.md").write_text(text)
    given = {"text": text, "file": str(tmp_path / "issue.md"), "stdin": "-"}[way]
    with ScriptedServer(script(calc, [])) as server:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "reapair", "solve", given, "--base-url", server.base_url],
            input=text.encode(), cwd=calc.repository, capture_output=True, check=False,
            env=ENVIRONMENT | {"XDG_STATE_HOME": str(tmp_path / "state")},
        )  # fmt: skip
        first = server.chats[0]["messages"][1]["content"]
    assert text in first
    assert done.returncode == 12
    assert b"\x1b[31m" not in done.stdout


@pytest.mark.engine
def test_apply_and_patch(calc: Task, tmp_path: Path) -> None:
    url = {"AGENT_ACCEPT": "regression_free"}
    out = tmp_path / "fix.diff"
    with ScriptedServer(script(calc, calc.gold)) as server:
        done = agent("solve", calc.issue, "--patch", str(out), "--base-url", server.base_url,
                     cwd=calc.repository, **url)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    subprocess.run(["git", "apply", "--check", str(out)], cwd=calc.repository, check=True)
    with ScriptedServer(script(calc, calc.gold)) as server:
        done = agent("solve", calc.issue, "--apply", "--base-url", server.base_url,
                     cwd=calc.repository, **url)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "/ len(values)" in (calc.repository / "calc.py").read_text()
    branches = subprocess.run(
        ["git", "branch"], cwd=calc.repository, capture_output=True, text=True, check=True
    )
    assert branches.stdout.split() == ["*", "main"]


def _containers(run: str) -> list[str]:
    listed = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"label=io.reapair.run={run}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return listed.stdout.split()


@pytest.mark.engine
@pytest.mark.docker
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_container_outlives_the_process(calc: Task, tmp_path: Path, how: signal.Signals) -> None:
    slow = [turn("bash", command="setsid sleep 300 & sleep 300", timeout=400)]
    with ScriptedServer(slow) as server:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "reapair", "solve", "x y", "--sandbox", "docker",
             "--base-url", server.base_url],
            cwd=calc.repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=ENVIRONMENT | {"XDG_STATE_HOME": str(tmp_path / "state")},
        )  # fmt: skip
        runs = tmp_path / "state" / "agent" / "runs"
        _until(lambda: any('"tool_intent"' in log.read_text() for log in runs.glob("*/*.jsonl")))
        [run] = [path.name for path in runs.iterdir()]
        assert _containers(run)
        process.send_signal(how)
        if how != signal.SIGKILL:
            # The first lets the running step end, the second does not.
            assert process.stderr
            assert "when this step is done" in process.stderr.readline()
            process.send_signal(how)
        code = process.wait(timeout=60)
    expected = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}
    assert code == expected[how]
    _until(lambda: not _containers(run))


def _until(condition: object, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)
