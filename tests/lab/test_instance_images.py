"""Images of instances run as they were built, and show the model nothing that is hidden."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import require

from reapair.agent.lab.evaluate.grade import Grader, settings_for
from reapair.agent.lab.evaluate.instance_image import engine_for
from reapair.agent.lab.evaluate.instance_job import Job, run_job
from reapair.agent.lab.evaluate.state import make_state
from reapair.agent.settings.settings import Settings
from reapair.agent.workspace.preparation import prepare
from reapair.sandbox import Sandbox
from reapair.sandbox.containers.docker_engine import DockerEngine
from reapair.sandbox.git.repository import GitStore
from reapair.sandbox.git.snapshot import Snapshot
from support.smith_image import BAD, BRANCH, HIDDEN, INSTANCE, build_image

pytestmark = [pytest.mark.docker, pytest.mark.engine]


@pytest.fixture(scope="module")
def image(docker_problem: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    require("docker", not docker_problem, docker_problem)
    name = build_image(tmp_path_factory.mktemp("mirror") / "repository")
    yield name
    api = DockerEngine().connect()
    api.remove_image(name, force=True)
    api.close()


@pytest.fixture(scope="module")
def sandbox(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The sandbox that a model would work in."""
    place = tmp_path_factory.mktemp("state")
    repository = make_state(INSTANCE, place / "repository")
    snapshot = Snapshot.of_work_tree(repository, place / "store")
    settings = settings_for(INSTANCE, Settings(sandbox="docker"))
    prepared = prepare(
        snapshot,
        GitStore(place / "store", repository),
        settings,
        print,
        engine_for(INSTANCE, "docker"),
    )
    with prepared.engine.sandbox(prepared.environment, "test") as sandbox:
        snapshot.load(sandbox)
        yield sandbox


def test_user_environment_and_root_are_the_images(sandbox: Sandbox) -> None:
    assert sandbox.exec("id -u").text == "0\n"
    told = sandbox.exec("echo $CONDA_DEFAULT_ENV; command -v python; echo $HOME; pwd").text
    assert told.split() == [
        "testbed",
        "/opt/miniconda3/envs/testbed/bin/python",
        "/root",
        "/testbed",
    ]
    # Without a shell in between, too.
    assert sandbox.exec(["python", "-c", "import sys; print(sys.prefix)"]).text == (
        "/opt/miniconda3/envs/testbed\n"
    )
    assert (
        sandbox.exec("touch /opt/new /usr/lib/new && cat /testbed/built.egg-info").text == "built\n"
    )


def test_what_was_sealed_stays_sealed(sandbox: Sandbox) -> None:
    assert sandbox.exec("ls /sys/class/net").text.split() == ["lo"]
    assert sandbox.exec("grep CapEff /proc/self/status").text.split()[1] == "000000000000001b"
    limits = sandbox.exec(
        "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null"
    ).text
    assert limits.split()[0] == "4096"


def test_commands_cannot_end_the_sandbox(sandbox: Sandbox) -> None:
    sandbox.exec("kill -9 -1")
    sandbox.exec("for p in /proc/[0-9]*; do kill -9 ${p#/proc/}; done 2>/dev/null")
    assert sandbox.exec("sleep 300 & sleep 100", timeout=1).timed_out
    left = sandbox.exec("cat /proc/[0-9]*/comm").text
    assert not sandbox.closed
    assert "sleep" not in left


def test_nothing_hidden_is_inside(sandbox: Sandbox) -> None:
    assert sandbox.read("calc.py").decode() == BAD
    assert sandbox.exec("ls tests").text == "test_shown.py\n"
    assert sandbox.exec("git log --all --format=%s").text == "Initial commit\n"
    objects = sandbox.exec(
        "git cat-file --batch-all-objects --batch-check='%(objectname)' |"
        " while read o; do git cat-file -p $o; done; git for-each-ref; git stash list; env"
    ).text
    assert "def top" in objects
    for secret in ("test_hidden", "/ len(values)", BRANCH, "Bug Patch"):
        assert secret not in objects
    files = sandbox.exec(
        "grep -rlE 'test_hidden_mean|sum\\(values\\) / len\\(values\\)' / --exclude-dir=proc "
        "--exclude-dir=sys 2>/dev/null"
    ).text
    assert files == ""
    names = sandbox.exec("find / -xdev -name '*test_hidden*'").text
    assert names == ""


def test_a_clone_shows_nothing_hidden_either(tmp_path: Path) -> None:
    from support.smith_image import write_repository

    write_repository(tmp_path / "clones" / "owner__calc.0123abcd")
    without = INSTANCE.model_copy(update={"image": ""})
    shown = make_state(without, tmp_path / "shown", tmp_path / "clones")
    assert (shown / "calc.py").read_text() == BAD
    assert sorted(file.name for file in (shown / "tests").iterdir()) == ["test_shown.py"]
    graded = make_state(without, tmp_path / "graded", tmp_path / "clones", hide=False)
    assert (graded / "tests/test_hidden.py").read_text() == HIDDEN


def test_gold_resolves_and_nothing_does_not(image: str, tmp_path: Path) -> None:
    settings = Settings(sandbox="docker")
    record = run_job(Job(INSTANCE, tmp_path / "gold", settings, "gold", tries=1))
    assert record.resolved, record
    assert not list((tmp_path / "gold").rglob("repository"))
    events = next((tmp_path / "gold").glob("runs/*/events.jsonl")).read_text()
    assert "test_hidden" not in events
    patch = (tmp_path / "gold/1.diff").read_bytes()
    grader = Grader(INSTANCE, tmp_path / "grading", settings)
    # What the patch does to tests counts for nothing.
    skipping = (
        b"diff --git a/conftest.py b/conftest.py\n--- a/conftest.py\n+++ b/conftest.py\n"
        b"@@ -0,0 +1,2 @@\n+def pytest_runtest_makereport(item, call):\n+    call.excinfo = None\n"
    )
    assert grader.grade(skipping).status == "unresolved"
    assert grader.grade(patch + skipping).status == "resolved"
