"""A podman of the tests' own: its storage, its socket, its end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reapair.sandbox.base import SandboxError
from reapair.sandbox.containers.docker_engine import DockerEngine

_ROOM = 4 * 2**30
"""Bytes of free memory above which the storage lies there: a disk takes half a minute."""


@contextmanager
def podman_service() -> Iterator[str]:
    """Yield the address of podman's Docker-compatible socket, with our base image in its storage.

    Raises OSError or SandboxError where there is no podman, or none that starts.
    """
    roomy = shutil.disk_usage("/dev/shm").free > _ROOM
    place = Path(tempfile.mkdtemp(prefix="podman-", dir="/dev/shm" if roomy else "/var/tmp"))
    socket = place / "podman.sock"
    folders = ["--root", str(place / "storage"), "--runroot", str(place / "run")]
    quiet = ["--cgroup-manager", "cgroupfs", "--events-backend", "none"]
    call = ["podman", *folders, *quiet, "system", "service", "--time", "0", f"unix://{socket}"]
    try:
        log = (place / "log").open("wb")
        variables = os.environ | {"TMPDIR": str(place)}
        # Its monitors leave a file `oom` where they were started, when memory runs out.
        with subprocess.Popen(
            call,
            cwd=socket.parent,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        ) as service:
            try:
                _wait(service, socket)
                _load_base(f"unix://{socket}")
                yield f"unix://{socket}"
            finally:
                # Its containers would live on: for them the service is nobody.
                end = ["podman", *folders, *quiet, "rm", "--all", "--force", "--time", "0"]
                subprocess.run(end, check=False, capture_output=True)
                service.terminate()
    finally:
        _end_monitors(place)
        # What podman mounts upon itself would keep the directory busy.
        subprocess.run(
            ["umount", "-l", str(place / "storage/overlay")], check=False, capture_output=True
        )
        shutil.rmtree(place, ignore_errors=True)


def _wait(service: subprocess.Popen[bytes], socket: Path) -> None:
    for _ in range(300):
        if socket.exists() or service.poll() is not None:
            break
        time.sleep(0.1)
    if service.poll() is not None:
        words = (socket.parent / "log").read_text().strip()[-500:]
        raise SandboxError(f"podman's service has ended: {words}")


def _end_monitors(place: Path) -> None:
    """End what watches over podman's execs, which it would do for five minutes more."""
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = command.read_bytes().split(b"\0")
            if words[0].endswith(b"conmon") and any(os.fsencode(place) in word for word in words):
                os.kill(int(command.parent.name), signal.SIGKILL)


def _load_base(address: str) -> None:
    """Hand the base image over from Docker; nothing is pulled in a test."""
    import docker

    engine = DockerEngine()
    given = engine.connect().get_image(engine.base_image())
    docker.APIClient(address, version="auto", timeout=120).load_image(given)
