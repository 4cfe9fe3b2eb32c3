"""A Docker engine of the tests' own, which they may end and start again."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROGRAMS = ("sh", "cat", "head", "sleep", "setsid", "env", "id", "rm", "find", "xargs", "df", "du")


class OwnEngine:
    """A dockerd in a directory and a network of its own, with one tiny image: `IMAGE`."""

    IMAGE = "tiny:1"

    def __init__(self, place: Path) -> None:
        self.address = f"unix://{place}/docker.sock"
        self._place = place
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait for an answer. Raises OSError."""
        # Where nobody collects dead processes at once, a killed engine's own would look alive.
        (self._place / "run/containerd/containerd.pid").unlink(missing_ok=True)
        folders = {"data-root": "data", "exec-root": "run", "pidfile": "pid"}
        # In a network namespace of its own: the bridge of another engine is not its business.
        call = ["unshare", "--net", "dockerd", "--host", self.address, "--iptables=false"]
        call += [f"--{option}={self._place / name}" for option, name in folders.items()]
        with (self._place / "log").open("ab") as log:
            self._process = subprocess.Popen(
                call, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(300):
            if self._process.poll() is not None:
                break
            if self._docker("version").returncode == 0:
                return
            time.sleep(0.1)
        raise OSError((self._place / "log").read_text()[-500:])

    def load(self) -> None:
        """Make the image of a few programs of this machine."""
        self._docker("import", "-", self.IMAGE, given=_tiny_root())

    def end(self, number: signal.Signals) -> None:
        """Send a signal and wait for the end."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None

    def _docker(self, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        call = ["docker", "--host", self.address, *words]
        return subprocess.run(call, input=given, capture_output=True, check=False)


@contextmanager
def own_engine() -> Iterator[OwnEngine]:
    """Yield a running engine with its image. Raises OSError where none can be started."""
    # Its sockets lie deep inside, and the path of a socket has to be short.
    place = Path(tempfile.mkdtemp(prefix="dockerd-", dir="/var/tmp"))
    engine = OwnEngine(place)
    try:
        engine.start()
        engine.load()
        yield engine
    finally:
        engine.end(signal.SIGTERM)
        # What it mounts upon itself would keep the directory busy.
        subprocess.run(["umount", "-l", str(place / "data")], check=False, capture_output=True)
        shutil.rmtree(place, ignore_errors=True)


def _tiny_root() -> bytes:
    """Return a tar archive of some programs with the libraries they are linked to."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        wanted = {f"/bin/{name}": shutil.which(name) or "" for name in _PROGRAMS}
        for program in [*wanted.values()]:
            linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True)
            wanted |= {path: path for path in re.findall(r"(/\S+) \(0x", linked.stdout)}
        for name, source in wanted.items():
            tar.add(os.path.realpath(source), name.lstrip("/"))
        for folder in ("testbed", "home/agent", "tmp", "proc", "run"):
            info = tarfile.TarInfo(folder)
            info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, 0o755, 1000, 1000
            tar.addfile(info)
    return archive.getvalue()
