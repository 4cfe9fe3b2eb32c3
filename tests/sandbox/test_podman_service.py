"""Podman without its socket: a service of our own, which ends with this program."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import require

PROGRAM = """
import sys
from reapair.sandbox.containers.docker_engine import DockerEngine
from reapair.sandbox.containers.podman_service import podman_address
client = DockerEngine("podman").connect()
client.version()
assert podman_address() == podman_address()
print(podman_address(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """A user without a socket of podman, and with a storage of their own."""
    storage = tmp_path / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/storage"\nrunroot = "{tmp_path}/run"\n'
    )
    kept = {name: value for name, value in os.environ.items() if name != "CONTAINER_HOST"}
    own = {"XDG_RUNTIME_DIR": str(tmp_path), "CONTAINERS_STORAGE_CONF": str(storage)}
    return kept | own | {"TMPDIR": str(tmp_path)}


@pytest.fixture
def program(variables: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    require("podman", shutil.which("podman") is not None, "it is not installed")
    if os.access("/run/podman/podman.sock", os.W_OK):
        pytest.skip("the machine has a socket of podman, which is used")
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True], ids=["at the end", "after a kill"])
def test_a_service_is_started_and_ends_with_us(
    program: subprocess.Popen[str], killed: bool
) -> None:
    assert program.stdin
    assert program.stdout
    folder = Path(program.stdout.readline().strip().removeprefix("unix://")).parent
    assert (folder / "podman.sock").is_socket()
    if killed:
        program.send_signal(signal.SIGKILL)
    else:
        program.stdin.close()
    program.wait(30)
    deadline = time.monotonic() + 20
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not folder.exists()


def test_a_service_that_does_not_start_is_told_with_the_command(
    variables: dict[str, str], tmp_path: Path
) -> None:
    broken = tmp_path / "bin/podman"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho 'cannot set up the namespace' >&2\nexit 125\n")
    broken.chmod(0o755)
    if os.access("/run/podman/podman.sock", os.W_OK):
        pytest.skip("the machine has a socket of podman, which is used")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=variables | {"PATH": f"{broken.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "cannot set up the namespace" in done.stderr
    assert "systemctl --user start podman.socket" in done.stderr
    assert not list(tmp_path.glob("agent-podman-*"))
