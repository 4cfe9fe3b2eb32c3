"""Podman's socket: an existing one, else that of a service started here until this process exits.

Most machines with podman have no socket until the user enables it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from reapair.sandbox.base import SandboxError

START_SOCKET = "Start its socket with: systemctl --user start podman.socket"
START_MACHINE = "Run `podman machine start`, and set CONTAINER_HOST to the socket that it prints."

# The service ends with its standard input, which this process holds: also after SIGKILL.
_SCRIPT = """exec 3<&0
podman system service --time 0 "unix://$1/podman.sock" </dev/null 3<&- &
service=$!
{ read -r _; kill $service; } <&3 &
exec 3<&-
wait $service
rm -rf "$1"
"""
_START_SECONDS = 30.0

_starting = threading.Lock()
_own = ""


def podman_address() -> str:
    """Return the address of a socket: from the user, an existing one, or of our own service.

    Raises SandboxError where there is none and none can be started.
    """
    if told := os.environ.get("CONTAINER_HOST"):
        return told
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    for socket in (Path(runtime, "podman/podman.sock"), Path("/run/podman/podman.sock")):
        if os.access(socket, os.W_OK):
            return f"unix://{socket}"
    with _starting:
        return _own or _started()


def _started() -> str:
    global _own  # noqa: PLW0603 - one service for the whole process
    if shutil.which("podman") is None:
        raise SandboxError("podman is not installed.")
    if sys.platform != "linux":
        raise SandboxError(f"podman has no socket here. {START_MACHINE}")
    # Not in the user's cache: the path of a socket has to be short.
    folder = Path(tempfile.mkdtemp(prefix="agent-podman-"))
    socket, log = folder / "podman.sock", (folder / "log").open("w+b")
    service = subprocess.Popen(
        ["/bin/sh", "-c", _SCRIPT, "sh", str(folder)],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,  # Ctrl-C must not end it before its containers are removed
    )
    atexit.register(_end, service)
    deadline = time.monotonic() + _START_SECONDS
    with log:
        while not socket.exists():
            if service.poll() is not None or time.monotonic() > deadline:
                _end(service)
                log.seek(0)
                words = log.read().decode("utf-8", "replace").strip()[-500:]
                raise SandboxError(f"podman's service does not start: {words}\n{START_SOCKET}")
            time.sleep(0.02)
    _own = f"unix://{socket}"
    return _own


def _end(service: subprocess.Popen[bytes]) -> None:
    if service.stdin:
        service.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        service.wait(10)
