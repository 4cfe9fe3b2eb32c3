"""`agent solve 7 --pr` as a person runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.github_server import GitHubServer
from support.github_state import PERSON, READS, Caller, State
from support.proved import FAST
from support.repositories import git
from support.scripted_server import ScriptedServer
from support.tasks import Task, script, turn

HELD = ("AGENT_", "OPENAI_", "GITHUB_", "GH_", "ACTIONS_")


def agent(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(HELD)}
    command = [sys.executable, "-P", "-m", "reapair", *arguments]
    ours = {"XDG_STATE_HOME": str(cwd.parent / "state"), "AGENT_STRATEGY": "loop"}
    environment = clean | ours | variables
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=240
    )


def solve(
    github: GitHubServer, task: Task, token: str, *more: str, first: tuple[dict[str, Any], ...] = ()
) -> tuple[int, str, str]:
    """Return the exit code, what was shown, and all that the model was asked."""
    with ScriptedServer([*first, *script(task, task.gold)]) as model:
        done = agent(
            "solve", *more, "--base-url", model.base_url, "--sandbox", "none",
            "--test-command", FAST, cwd=task.repository, **github.environment(token),
        )  # fmt: skip
        asked = str(model.chats)
    return done.returncode, done.stdout + done.stderr, asked


@pytest.mark.slow
def test_an_issue_becomes_a_branch_and_a_pull_request(
    state: State, github: GitHubServer, task: Task
) -> None:
    code, shown, asked = solve(github, task, PERSON, "#7", "--pr")
    assert code == 0, shown
    (pull,) = state.pulls.values()
    assert pull["html_url"] in shown
    assert pull["draft"]
    assert "gives 6.0, not 3." in asked
    branches = git(task.repository, "branch", "--list", "agent/*")
    assert branches.decode().strip() == "agent/issue-7"
    assert PERSON not in shown + asked
    kept = [file for file in (task.repository.parent / "state").rglob("*") if file.is_file()]
    assert kept
    assert not any(PERSON.encode() in file.read_bytes() for file in kept)


@pytest.mark.slow
def test_without_a_sandbox_the_token_is_at_least_not_passed_on(
    state: State, github: GitHubServer, task: Task
) -> None:
    """Unsealed commands can read their parent's environment; log and model do not get it."""
    hunt = "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -a TOKEN= | sort -u"
    code, shown, asked = solve(github, task, PERSON, "7", first=(turn("bash", command=hunt),))
    assert code == 0, shown
    assert "GITHUB_TOKEN=***" in asked
    assert PERSON not in shown + asked
    kept = [file for file in (task.repository.parent / "state").rglob("*") if file.is_file()]
    assert not any(PERSON.encode() in file.read_bytes() for file in kept)


@pytest.mark.slow
def test_a_failed_pull_request_exits_5_and_loses_nothing(
    state: State, github: GitHubServer, task: Task
) -> None:
    state.callers[READS] = Caller("triager", frozenset())
    code, shown, _ = solve(github, task, READS, "acme/widgets#7", "--pr")
    assert code == 5, shown
    assert "No pull request: The token may not do this" in " ".join(shown.split())
    assert state.pulls == {}
    assert list((task.repository.parent / "state").rglob("patch.diff"))
    assert git(task.repository, "rev-parse", "agent/issue-7")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("99",), "GitHub has nothing at"),
        (("acme/other#1",), "GitHub has nothing at"),
        (("http://ghe.example.org/a/b/issues/1",), "TLS"),
        (("the text", "--pr"), "--pr needs an issue on GitHub"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_2(
    github: GitHubServer, task: Task, arguments: tuple[str, ...], said: str
) -> None:
    done = agent("solve", *arguments, cwd=task.repository, **github.environment(PERSON))
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_the_jobs_by_hand_need_no_event(
    state: State, github: GitHubServer, task: Task, tmp_path: Path
) -> None:
    """What a job of another forge, or a person, does with the same commands."""
    folder = str(tmp_path / "out")
    variables = github.environment(PERSON)
    with ScriptedServer(script(task, task.gold)) as model:
        settings = {"AGENT_SANDBOX": "none", "AGENT_TEST_COMMAND": FAST}
        settings["AGENT_BASE_URL"] = model.base_url
        solved = agent(
            "github", "solve", folder, "--issue", "7", cwd=task.repository, **variables, **settings
        )
    assert solved.returncode == 0, solved.stdout + solved.stderr
    assert sorted(os.listdir(folder)) == ["patch.diff", "result.json"]
    published = agent(
        "github", "publish", folder, "--issue", "acme/widgets#7", cwd=task.repository, **variables
    )
    assert published.returncode == 0, published.stderr
    (pull,) = state.pulls.values()
    assert f"{pull['html_url']} opened. proved" in published.stdout
    state.archived = True
    again = agent("github", "publish", folder, "--issue", "7", cwd=task.repository, **variables)
    assert again.returncode == 5
    assert "archived" in again.stderr
