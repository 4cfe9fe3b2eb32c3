"""No sandbox outlives its owner, and the sweep touches nothing that is not ours."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import require
from docker.errors import NotFound

from reapair.sandbox.base import SandboxError
from reapair.sandbox.containers import labels
from reapair.sandbox.containers.docker import DockerSandbox
from reapair.sandbox.containers.docker_engine import DockerEngine
from reapair.sandbox.engines import choose
from reapair.sandbox.host import cgroup, directories
from reapair.sandbox.limits import Limits
from support.sandboxes import Make, Missing

pytestmark = pytest.mark.engine

_OWNER = """
import sys
sys.path[:0] = {path}
from reapair.sandbox.engines import choose
from reapair.sandbox.limits import Limits
from reapair.sandbox.environment import Environment
engine = choose({kind!r})
plain = getattr(engine, "base_image", str)()
sandbox = engine.sandbox(Environment(plain), "orphan")
sandbox.start()
print(getattr(sandbox, "container", "") or sandbox.root, flush=True)
sandbox.exec("trap '' TERM HUP INT; (setsid sleep 7654 &); sleep 7654", timeout=600)
"""


def _abandon(kind: str) -> str:
    """Start a process that owns a busy sandbox, kill it, and return the sandbox's name."""
    script = _OWNER.format(path=sys.path, kind=kind)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout
        name = owner.stdout.readline().strip()
        time.sleep(1)
        owner.kill()
    assert name
    return name


def _within(seconds: float, done: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.2)
    return False


def _exists(docker: DockerEngine, container: str) -> bool:
    found = docker.connect().containers(all=True, filters={"id": container})
    return bool(found)


def _volumes(docker: DockerEngine, run: str) -> list[str]:
    found = docker.connect().volumes(filters={"label": f"io.reapair.run={run}"})
    return [volume["Name"] for volume in found["Volumes"] or []]


def test_a_container_goes_with_its_killed_owner(docker: DockerEngine) -> None:
    container = _abandon("docker")
    assert _within(20, lambda: not _exists(docker, container))
    assert _within(10, lambda: not _volumes(docker, "orphan"))


def test_podman_leaves_orphans_to_the_sweep(missing: Missing) -> None:
    require("podman", not missing("podman"), missing("podman"))
    podman = DockerEngine("podman")
    container = _abandon("podman")
    podman.sweep()
    assert not _exists(podman, container)
    assert not _volumes(podman, "orphan")


def test_closing_removes_container_and_volumes(docker: DockerEngine) -> None:
    sandbox = DockerSandbox(docker.connect, docker.base_image(), "closing")
    with sandbox:
        assert _exists(docker, sandbox.container)
        assert len(_volumes(docker, "closing")) == 2
    assert _within(10, lambda: not _exists(docker, sandbox.container))
    assert _within(10, lambda: not _volumes(docker, "closing"))


def test_bubblewrap_goes_with_its_killed_owner(make_bubblewrap: Make) -> None:
    folder = Path(_abandon("bubblewrap"))
    assert _within(10, lambda: not _host_processes(b"7654"))
    assert folder.is_dir()
    choose("bubblewrap").sweep()
    assert not folder.exists()


def _host_processes(word: bytes) -> list[str]:
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in place.read_bytes().split(b"\0"):
                found.append(place.parent.name)
        except OSError:
            continue
    return found


@pytest.fixture
def make_bubblewrap(missing: Missing) -> Make:
    from support.sandboxes import maker

    return maker("bubblewrap", missing)


def test_the_sweep_keeps_what_lives(make_bubblewrap: Make) -> None:
    stranger = directories.cache() / "sandboxes" / "not-ours"
    stranger.mkdir(parents=True)
    with make_bubblewrap() as sandbox:
        choose("bubblewrap").sweep()
        assert sandbox.exec("echo fine").text == "fine\n"
    assert stranger.is_dir()


def _labels(**changes: str) -> dict[str, str]:
    found = labels.owner_labels("sweep")
    return found | {f"io.reapair.{name}": value for name, value in changes.items()}


@pytest.fixture
def containers(docker: DockerEngine) -> Iterator[dict[str, str]]:
    """One created container, and one volume, for each kind of owner."""
    api, image = docker.connect(), docker.base_image()
    dead = subprocess.Popen(["true"])
    dead.wait()
    owners: dict[str, dict[str, str]] = {
        "dead": _labels(pid=str(dead.pid)),
        "earlier_boot": _labels(boot="another"),
        "alive": _labels(),
        "other_host": _labels(host="another", pid=str(dead.pid)),
        "nobody": {},
    }
    made = {}
    for name, marks in owners.items():
        made[name] = api.create_container(image, ["true"], labels=marks)["Id"]
        made[f"volume {name}"] = api.create_volume(labels=marks)["Name"]
    yield made
    for name, thing in made.items():
        with contextlib.suppress(NotFound):  # what was swept is not there any more
            if name.startswith("volume"):
                api.remove_volume(thing)
            else:
                api.remove_container(thing)


def test_the_sweep_removes_orphans_and_nothing_else(
    docker: DockerEngine, containers: dict[str, str]
) -> None:
    docker.sweep()
    api = docker.connect()
    left = {container["Id"] for container in api.containers(all=True)}
    left |= {volume["Name"] for volume in api.volumes()["Volumes"] or []}
    gone = {name for name, thing in containers.items() if thing not in left}
    assert gone == {"dead", "earlier_boot", "volume dead", "volume earlier_boot"}


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM"])
def test_a_container_killed_mid_command_is_a_result(docker: DockerEngine, signal: str) -> None:
    with DockerSandbox(docker.connect, docker.base_image(), "killed") as sandbox:
        api = docker.connect()
        threading.Timer(1, lambda: api.kill(sandbox.container, signal)).start()
        result = sandbox.exec("echo begun; sleep 60; echo done", timeout=30)
        assert (result.died, result.exit_code, result.stdout) == (True, None, b"begun\n")
        with pytest.raises(SandboxError):
            sandbox.exec("true")


def test_a_container_killed_between_commands_is_a_result_once(docker: DockerEngine) -> None:
    with DockerSandbox(docker.connect, docker.base_image(), "killed") as sandbox:
        docker.connect().kill(sandbox.container)
        assert sandbox.exec("true").died
        with pytest.raises(SandboxError):
            sandbox.exec("true")


def test_a_missing_image_is_an_error_in_words(docker: DockerEngine) -> None:
    sandbox = DockerSandbox(docker.connect, "no-such-image-here", "missing")
    with pytest.raises(SandboxError, match="no-such-image-here"):
        sandbox.start()


def test_the_flags_of_the_container(docker: DockerEngine) -> None:
    with DockerSandbox(docker.connect, docker.base_image(), "flags") as sandbox:
        found = docker.connect().inspect_container(sandbox.container)
    host = found["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"]
    assert host["NetworkMode"] == "none"
    assert host["PidsLimit"] > 0
    assert host["Memory"] == host["MemorySwap"] > 0
    assert host["LogConfig"]["Type"] == "none"
    assert host["Init"]
    assert host["AutoRemove"]
    assert not host["Binds"]
    assert not host["Privileged"]
    assert {mount["Type"] for mount in found["Mounts"]} == {"volume"}
    assert set(_labels()) <= set(found["Config"]["Labels"])


def test_a_tree_without_permissions_can_still_be_removed(tmp_path: Path) -> None:
    inner = tmp_path / "tree" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    inner.chmod(0)
    directories.remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()


def test_labels_of_this_process_are_not_orphaned() -> None:
    assert not labels.orphaned(json.loads(json.dumps(labels.owner_labels("run"))))
    assert not labels.orphaned({})


def test_a_group_that_bounds_nothing_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with both versions, the second has none of the controllers."""
    unified = Path("/sys/fs/cgroup/unified")
    if not os.access(unified, os.W_OK) or "memory" in (unified / "cgroup.controllers").read_text():
        pytest.skip("there is no empty hierarchy of the second version here")
    monkeypatch.setattr(cgroup, "_ROOT", unified)
    before = set(unified.iterdir())
    assert cgroup.control_group(Limits()) is None
    assert set(unified.iterdir()) == before
    (said,) = choose("bubblewrap").caveats()
    assert "control group" in said
