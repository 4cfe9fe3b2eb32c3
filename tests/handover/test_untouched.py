"""The user's repository is only read: a run in a dirty one changes nothing but one new branch."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from reapair.agent.result import Result, Verdict
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import solve
from support.scripted_server import ScriptedServer
from support.tasks import Task, own_tasks, script

HOOKS = (
    "pre-commit", "post-commit", "post-checkout", "post-index-change", "reference-transaction",
    "pre-applypatch", "post-applypatch", "prepare-commit-msg", "commit-msg", "post-rewrite",
)  # fmt: skip


def git(repository: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=repository, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def dirty(tmp_path: Path) -> Task:
    """A repository with staged, unstaged, stashed and untracked work, and hooks with a canary."""
    task = own_tasks(tmp_path / "tasks")[0]
    repository = task.repository
    git(repository, "config", "user.name", "Someone")
    git(repository, "config", "user.email", "someone@example.org")
    (repository / "stashed.txt").write_text("later\n")
    git(repository, "stash", "push", "-q", "--include-untracked")
    (repository / "staged.py").write_text("STAGED = 1\n")
    git(repository, "add", "staged.py")
    (repository / "test_calc.py").open("a").write("\n# unstaged\n")
    (repository / "notes.txt").write_text("untracked\n")
    (repository / ".env").write_text("TOKEN=hunter2\n")
    hooks = repository / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in HOOKS:
        (hooks / name).write_text(f"#!/bin/sh\necho {name} >> '{tmp_path}/canary'\n")
        (hooks / name).chmod(0o755)
    return task


def state(repository: Path) -> dict[str, object]:
    """Everything that must stay; read without git where git would write."""
    files = {
        path.relative_to(repository).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(repository.rglob("*"))
        if path.is_file()
        and not path.is_relative_to(repository / ".git" / "objects")
        and "refs/heads/agent" not in path.as_posix()
    }
    return {
        "files": files,
        "status": git(repository, "--no-optional-locks", "status", "--porcelain=v2", "--branch"),
        "stash": git(repository, "stash", "list"),
    }


def solved(task: Task, tmp_path: Path, edits: list[tuple[str, str, str]]) -> Result:
    with ScriptedServer(script(task, edits)) as server:
        settings = Settings(base_url=server.base_url, runs=tmp_path / "runs")
        return solve(task.issue, task.repository, settings)


@pytest.mark.engine
def test_only_a_branch_appears(dirty: Task, tmp_path: Path) -> None:
    before = state(dirty.repository)
    (tmp_path / "canary").unlink(missing_ok=True)
    result = solved(dirty, tmp_path, dirty.gold)
    assert not (tmp_path / "canary").exists()
    assert state(dirty.repository) == before
    assert result.verdict is Verdict.REGRESSION_FREE
    assert result.branch
    changed = git(dirty.repository, "diff", "--name-only", f"HEAD..{result.branch}").split()
    assert changed == ["calc.py"]
    log = (result.directory / "events.jsonl").read_text()
    assert "hunter2" not in log
    assert ".env" in log


@pytest.mark.engine
def test_a_change_that_needs_uncommitted_work_makes_no_branch(dirty: Task, tmp_path: Path) -> None:
    edits = [("staged.py", "STAGED = 1", "STAGED = 2")]
    result = solved(dirty, tmp_path, edits)
    assert result.branch is None
    assert "not on HEAD" in result.note
    assert "STAGED = 2" in result.patch
    assert git(dirty.repository, "branch", "--list", "agent/*") == ""


@pytest.mark.engine
def test_without_any_commit_there_is_no_branch(tmp_path: Path) -> None:
    task = own_tasks(tmp_path / "tasks")[0]
    shutil.rmtree(task.repository / ".git")
    git(task.repository, "init", "-q")
    result = solved(task, tmp_path, task.gold)
    assert result.verdict is Verdict.REGRESSION_FREE
    assert result.branch is None
    assert "no commit yet" in result.note
