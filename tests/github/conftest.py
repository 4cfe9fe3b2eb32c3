"""A repository on our own GitHub: a bare one behind the API, and a checkout of it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.github_server import GitHubServer
from support.github_state import PERSON, READS, WRITES, Caller, State
from support.proved import proved_task
from support.tasks import Task


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """Return a task whose repository is the checkout `work/repository`."""
    return proved_task(tmp_path / "work/repository")


@pytest.fixture
def state(task: Task, tmp_path: Path) -> State:
    bare = tmp_path / "acme-widgets.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(task.repository), str(bare)], check=True)
    state = State(bare)
    bot = "github-actions[bot]"
    state.callers = {
        READS: Caller(bot, frozenset(), "Bot"),
        WRITES: Caller(bot, type="Bot"),
        PERSON: Caller("maintainer"),
    }
    state.permissions = {"maintainer": "admin", "writer": "write", "triager": "read"}
    return state


@pytest.fixture
def github(state: State) -> Iterator[GitHubServer]:
    with GitHubServer(state) as server:
        state.add_issue(7, "mean() is too large", "mean([2, 4]) gives 6.0, not 3.")
        yield server
        assert server.problems == []
