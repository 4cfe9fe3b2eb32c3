"""The whole job on real parts: real git, real engines, real pytest; only the model is scripted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from reapair.agent.result import ExitReason, Result, Verdict
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import UsageError, repository_top, solve
from support.repositories import make_repository
from support.scripted_server import ScriptedServer
from support.tasks import Task, own_tasks, script, shared_task, turn

SHARED = Path(os.environ.get("REAPAIR_TASKS", ""))
SHARED_TASKS = sorted(SHARED.glob("*/instance.json")) if SHARED.name else []
NO_TASKS = pytest.param(
    Path("none/instance.json"), marks=pytest.mark.skip("REAPAIR_TASKS names no directory of tasks")
)


def run(task: Task, turns: list[dict[str, Any]], tmp_path: Path, **settings: Any) -> Result:
    """Solve a task with a scripted model in the best sandbox there is."""
    with ScriptedServer(turns) as server:
        chosen = Settings(
            base_url=server.base_url,
            runs=tmp_path / "runs",
            setup_command=task.setup_command,
            **settings,
        )
        return solve(task.issue, task.repository, chosen)


@pytest.fixture(params=["calc", "slug", "inventory"])
def task(request: pytest.FixtureRequest, tmp_path: Path) -> Task:
    return {task.name: task for task in own_tasks(tmp_path / "tasks")}[request.param]


@pytest.mark.engine
def test_gold_is_regression_free(task: Task, tmp_path: Path) -> None:
    result = run(task, script(task, task.gold), tmp_path)
    assert result.verdict is Verdict.REGRESSION_FREE
    assert result.exit_reason is ExitReason.SUBMITTED
    assert result.evidence.suite.passed >= 11
    assert result.files == sorted({path for path, _, _ in task.gold})
    assert result.branch
    shown = subprocess.run(
        ["git", "diff", "--stat", f"HEAD...{result.branch}"],
        cwd=task.repository, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert all(path in shown for path in result.files)


@pytest.mark.engine
def test_empty_handed_is_empty(task: Task, tmp_path: Path) -> None:
    result = run(task, script(task, []), tmp_path)
    assert result.verdict is Verdict.EMPTY
    assert result.exit_code() == 12
    assert result.branch is None


@pytest.mark.engine
def test_breaking_another_function_is_refuted(task: Task, tmp_path: Path) -> None:
    turns = script(task, task.gold + task.sabotage)
    result = run(task, turns + turns[-2:] * 2, tmp_path)
    assert result.verdict is Verdict.REFUTED
    assert result.evidence.regressions
    assert result.exit_code() == 11
    assert result.branch is None
    assert result.patch


REPRODUCTION = "\n\ndef test_mean():\n    assert mean([2, 4]) == 3\n"


@pytest.fixture
def calc(tmp_path: Path) -> Task:
    return own_tasks(tmp_path / "tasks")[0]


@pytest.mark.engine
def test_a_written_test_proves_the_fix(calc: Task, tmp_path: Path) -> None:
    old = "assert 0 <= clamp(value, 0, 10) <= 10"
    edits = [("test_calc.py", old, old + REPRODUCTION), *calc.gold]
    result = run(calc, script(calc, edits), tmp_path)
    assert result.verdict is Verdict.PROVED
    assert result.exit_code() == 0
    [shown] = result.evidence.reproduction
    assert (shown.author, shown.before, shown.after) == ("model_first", "failed", "passed")
    assert shown.test.endswith("test_mean")


@pytest.mark.engine
def test_deleting_a_test_proves_nothing(calc: Task, tmp_path: Path) -> None:
    deletion = turn("bash", command="git rm -q test_calc.py")
    turns = [deletion, *script(calc, calc.gold)]
    result = run(calc, turns + turns[-2:], tmp_path)
    assert result.verdict is Verdict.UNPROVED
    assert result.evidence.tricks == ["test_calc.py is deleted."]
    assert not result.evidence.regressions


@pytest.mark.engine
def test_the_model_may_mend_a_refuted_change(calc: Task, tmp_path: Path) -> None:
    path, old, new = calc.sabotage[0]
    mending = [turn("edit", path=path, old_str=new, new_str=old)]
    submit = script(calc, [])[-2:]
    turns = script(calc, calc.gold + calc.sabotage) + mending + submit
    result = run(calc, turns, tmp_path)
    assert result.verdict is Verdict.REGRESSION_FREE
    log = [json.loads(line) for line in (result.directory / "events.jsonl").open()]
    verdicts = [e["data"]["evidence"]["verdict"] for e in log if e["kind"] == "verification"]
    assert verdicts == ["refuted", "regression_free"]


@pytest.mark.engine
def test_the_tree_is_taken_at_the_step_limit(calc: Task, tmp_path: Path) -> None:
    result = run(calc, script(calc, calc.gold), tmp_path, max_steps=2)
    assert result.exit_reason is ExitReason.STEP_LIMIT
    assert result.verdict is Verdict.REGRESSION_FREE


@pytest.mark.engine
def test_each_request_begins_with_the_one_before(calc: Task, tmp_path: Path) -> None:
    with ScriptedServer(script(calc, calc.gold)) as server:
        solve(calc.issue, calc.repository, Settings(base_url=server.base_url, runs=tmp_path / "r"))
        assert len(server.chats) >= 4
        assert server.rewritten() == []


def test_outside_a_repository_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not inside a git work tree"):
        solve("x", tmp_path, Settings(base_url="http://127.0.0.1:9"))
    make_repository(tmp_path / "r")
    with pytest.raises(UsageError, match="not inside a git work tree"):
        solve("x", tmp_path / "r/missing", Settings(base_url="http://127.0.0.1:9"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["HEAD", "config", "packed-refs", "commondir", "pipe"])
def test_pipes_in_the_git_directory_do_not_hang_the_search(name: str, tmp_path: Path) -> None:
    top = make_repository(tmp_path / "r")
    (top / ".git" / name).unlink(missing_ok=True)
    os.mkfifo(top / ".git" / name)
    if name == "pipe":
        (top / ".git/config").write_text("[include]\n\tpath = pipe\n")
    assert repository_top(top / "lib") == top
    os.unlink(top / ".git" / name)
    shutil.rmtree(top / ".git")
    os.mkfifo(top / ".git")
    with pytest.raises(UsageError, match="not inside a git work tree"):
        repository_top(top)


@pytest.mark.engine
@pytest.mark.parametrize("instance", SHARED_TASKS or [NO_TASKS], ids=lambda file: file.parent.name)
def test_shared_tasks(instance: Path, tmp_path: Path) -> None:
    task = shared_task(instance.parent, tmp_path)
    gold = run(task, script(task, task.gold), tmp_path)
    assert run(task, script(task, []), tmp_path).verdict is Verdict.EMPTY
    turns = script(task, task.gold + task.sabotage)
    broken = run(task, turns + turns[-2:] * 2, tmp_path)
    if not list(task.repository.rglob("test*.py")):
        # Its only test file is the hidden one: nothing can be said of any patch.
        assert gold.verdict is broken.verdict is Verdict.UNPROVED
        return
    # Where visible tests fail as well (subtests do, which the task's own list overlooks), these
    # prove the patch.
    shown = gold.evidence.reproduction
    unshown = Verdict.UNPROVED if gold.evidence.reach == "none" else Verdict.REGRESSION_FREE
    assert gold.verdict is (Verdict.PROVED if shown else unshown)
    assert all(test.author == "existing" for test in shown)
    assert gold.evidence.suite.passed > 10
    assert broken.verdict is Verdict.REFUTED
