"""The action, the reusable workflow and the one that callers get, by two linters and by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import require

from reapair.agent.surfaces.github.install import InstallError, caller, install_here
from reapair.agent.surfaces.github.rest_client import GitHub
from support.action import ACTION, ROOT
from support.github_server import GitHubServer
from support.github_state import PERSON, State
from support.tasks import Task

WORKFLOW = ROOT / ".github/workflows/agent.yml"
USES = f"someone/reapair@{'a' * 40}"


def lint(tool: str, *arguments: str) -> None:
    command = Path(sys.executable).with_name(tool)
    require(tool, command.exists(), "pip install 'reapair[dev]'")
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def called(tmp_path: Path) -> Path:
    file = tmp_path / ".github/workflows/agent.yml"
    file.parent.mkdir(parents=True)
    file.write_text(caller(USES, "agent"))
    return file


def test_zizmor_finds_nothing(called: Path) -> None:
    lint("zizmor", "--offline", "--no-progress", str(ROOT / "action.yml"), str(WORKFLOW))
    lint("zizmor", "--offline", "--no-progress", str(called))


def test_the_schemas_hold(called: Path) -> None:
    workflows = ("--builtin-schema", "vendor.github-workflows")
    lint("check-jsonschema", *workflows, str(WORKFLOW), str(called))
    lint("check-jsonschema", "--builtin-schema", "vendor.github-actions", str(ROOT / "action.yml"))


def test_no_expression_is_in_a_script() -> None:
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    steps = [*ACTION["runs"]["steps"], *(step for job in jobs for step in job["steps"])]
    scripts = [step["run"] for step in steps if "run" in step]
    assert len(scripts) >= 5
    assert not any("${{" in script for script in scripts)


def test_the_jobs_have_the_rights_they_need_and_no_more() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text())
    solve, publish = workflow["jobs"]["solve"], workflow["jobs"]["publish"]
    assert workflow["permissions"] == {}
    assert set(solve["permissions"].values()) == {"read"}
    writes = {"contents": "write", "issues": "write", "pull-requests": "write"}
    assert publish["permissions"] == writes
    assert "api-key" not in str(publish)
    assert "publish-token" not in str(solve)
    for job in (solve, publish):
        for step in job["steps"]:
            action, _, version = step["uses"].partition("@")
            if action != "./source":
                assert re.fullmatch(r"[0-9a-f]{40}", version)
            if action == "actions/checkout":
                assert step["with"]["persist-credentials"] is False
            if action == "./source":
                assert set(step["with"]) <= set(ACTION["inputs"])
        assert job["timeout-minutes"]


def test_a_caller_is_ten_lines_and_asks_for_what_is_there(called: Path) -> None:
    text = called.read_text()
    assert len(text.splitlines()) <= 12
    told = yaml.safe_load(text)["jobs"]["agent"]
    known = yaml.safe_load(WORKFLOW.read_text())[True]["workflow_call"]
    assert set(told["with"]) <= set(known["inputs"])
    assert set(told["secrets"]) <= set(known["secrets"])


@pytest.mark.parametrize("label", ['a"b', "${{ x }}", "", "a\nb", "x" * 99])
def test_a_label_that_would_break_the_workflow_is_refused(label: str) -> None:
    with pytest.raises(InstallError):
        caller(USES, label)


@pytest.mark.parametrize("uses", ["", "a/b@v1", f"a b/c@{'a' * 40}", f"a/b@{'a' * 39}"])
def test_a_workflow_that_can_be_moved_is_refused(uses: str) -> None:
    with pytest.raises(InstallError, match="commit"):
        caller(uses, "agent")


def test_install(
    task: Task, state: State, github: GitHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in github.environment(PERSON).items():
        monkeypatch.setenv(name, value)
    lines = list(install_here(task.repository, USES, "agent"))
    assert lines[:3] == [
        "wrote .github/workflows/agent.yml",
        "made the label agent",
        "Actions may create pull requests",
    ]
    state.actions_may_create_pulls = False
    again = list(install_here(task.repository, USES, "agent"))
    assert again[1] == "the label agent is there"
    assert again[2].startswith("to do: allow GitHub Actions to create pull requests")
    assert state.labels == ["agent"]
    (task.repository / ".github/workflows/agent.yml").write_text("mine")
    with pytest.raises(InstallError, match="another one"):
        list(install_here(task.repository, USES, "agent"))
    assert GitHub(github.url, PERSON).get("/repos/acme/widgets/labels/agent") == {"name": "agent"}


def test_the_commands_of_the_page_exist() -> None:
    import typer

    from reapair.agent.surfaces.cli import common, github, solve  # noqa: F401

    page = (ROOT / "docs/github.md").read_text()
    lines = re.findall(r"^\$ agent (.*?)(?: +# .*)?$", page, re.MULTILINE)
    assert len(lines) >= 7
    for line in lines:
        command = typer.main.get_command(common.app)
        words = line.split()
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {flag for each in command.params for flag in each.opts}
        assert {word for word in words if word.startswith("--")} <= known, line
    told = yaml.safe_load(WORKFLOW.read_text())[True]["workflow_call"]["inputs"]
    for name in re.findall(
        r"`([a-z-]+)`", page.partition("Inputs of the reusable")[2].split(".")[0]
    ):
        assert name in told
