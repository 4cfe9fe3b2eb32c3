"""Other agents in `solve_rate`: each sealed in a container that reaches the model and nothing else.

The container has no network. A socket in a folder that both sides see leads to the model's port:
one forwarder runs here, another in the container, where the agent finds the model on loopback.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reapair.agent.lab.evaluate.instances import Instance
from reapair.agent.settings.settings import Settings
from reapair.agent.workspace.preparation import prepare
from reapair.sandbox.git.repository import GitStore
from reapair.sandbox.git.snapshot import Snapshot

PORT = 8080
"""Where the agent finds the model in its container."""


@dataclass(frozen=True)
class Peer:
    """One agent: how it is installed beside the tests' environment, and how it is run.

    `run` gets the issue in `$ISSUE`, the model's name in `$MODEL`, and works in /testbed.
    """

    install: str
    run: str


_BASE = f"http://127.0.0.1:{PORT}/v1"
_VENV = "python3 -m venv /home/agent/peer && /home/agent/peer/bin/pip -q install"
PEERS = {
    "mini": Peer(
        f"{_VENV} mini-swe-agent",
        f"MSWEA_CONFIGURED=true OPENAI_API_KEY=none OPENAI_API_BASE={_BASE} "
        "MSWEA_COST_TRACKING=ignore_errors /home/agent/peer/bin/mini -y --exit-immediately "
        '-m "openai/$MODEL" -t "$ISSUE"',
    ),
    "mini-text": Peer(
        f"{_VENV} mini-swe-agent",
        f"MSWEA_CONFIGURED=true OPENAI_API_KEY=none OPENAI_API_BASE={_BASE} "
        "MSWEA_COST_TRACKING=ignore_errors /home/agent/peer/bin/mini -y --exit-immediately "
        '-c mini_textbased -m "openai/$MODEL" -t "$ISSUE"',
    ),
    "aider": Peer(
        f"{_VENV} aider-chat",
        f"OPENAI_API_KEY=none OPENAI_API_BASE={_BASE} /home/agent/peer/bin/aider --yes-always "
        "--no-auto-commits --no-check-update --no-show-model-warnings --no-analytics "
        '--auto-test --test-cmd "$TESTS" --model "openai/$MODEL" --message "$ISSUE"',
    ),
    "pi": Peer(
        "npm install -s --prefix /home/agent/peer @mariozechner/pi-coding-agent",
        "mkdir -p ~/.pi/agent && printf '%s' \"$PI_MODELS\" > ~/.pi/agent/models.json && "
        '/home/agent/peer/node_modules/.bin/pi -p --provider local --model "$MODEL" "$ISSUE"',
    ),
}

_FORWARD = """
import socket, sys, threading
def pump(a, b):
    try:
        while data := a.recv(65536): b.sendall(data)
    except OSError: pass
    finally:
        for s in (a, b):
            try: s.shutdown(socket.SHUT_RDWR)
            except OSError: pass
listener = socket.socket(); listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", PORT)); listener.listen(16)
while True:
    one, _ = listener.accept()
    other = socket.socket(socket.AF_UNIX); other.connect("/model/socket")
    for pair in ((one, other), (other, one)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
""".replace("PORT", str(PORT))


def run_peer(
    peer: Peer, instance: Instance, repository: Path, settings: Settings, minutes: float
) -> tuple[str, dict[str, Any]]:
    """Let an agent work on a task in its container; return its patch, and what it used."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        image = _image(peer, repository, settings, Path(place))
        work = Path(place) / "testbed"
        shutil.copytree(repository, work, symlinks=True)
        subprocess.run(["chmod", "-R", "a+rwX", str(work)], check=True)
        with _model_socket(str(settings.base_url), Path(place) / "model") as used:
            model = _model_name(str(settings.base_url))
            models = (
                f'{{"providers": {{"local": {{"baseUrl": "{_BASE}", "api": "openai-completions", '
                f'"apiKey": "none", "models": [{{"id": "{model}"}}]}}}}}}'
            )
            variables = {
                "ISSUE": instance.problem_statement,
                "MODEL": model,
                "PI_MODELS": models,
                "TESTS": settings.test_command or "python -m pytest -q",
                "HOME": "/home/agent",
            }
            script = f"python3 -c '{_FORWARD}' & sleep 1; {peer.run}"
            command = [
                *("docker", "run", "--rm", "--network", "none", "--user", "1000:1000"),
                *("--memory", "4g", "--pids-limit", "512", "-w", "/testbed"),
                *("-v", f"{work}:/testbed", "-v", f"{place}/model:/model"),
                *(part for item in variables.items() for part in ("-e", "=".join(item))),
                *(image, "timeout", str(int(minutes * 60)), "bash", "-c", script),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        subprocess.run(["git", "add", "-A", "-N", "."], cwd=work, check=True)
        diff = subprocess.run(
            ["git", "-c", "core.fsmonitor=", "-c", "core.hooksPath=/dev/null", "diff", "HEAD"],
            cwd=work, capture_output=True, check=True,
        ).stdout  # fmt: skip
    tail = (done.stdout + done.stderr)[-2_000:]
    return diff.decode("utf-8", "replace"), {**used, "exit_code": done.returncode, "said": tail}


def _image(peer: Peer, repository: Path, settings: Settings, place: Path) -> str:
    """Return an image with the tests' environment and the agent in it."""
    snapshot = Snapshot.of_work_tree(repository, place / "store")
    own = settings.setup_command or "true"
    chosen = settings.model_copy(update={"setup_command": f"{own} && {peer.install}"})
    say = lambda line: print(line, file=sys.stderr)  # noqa: E731
    prepared = prepare(snapshot, GitStore(place / "store", repository), chosen, say)
    return prepared.environment.reference


def _model_name(base_url: str) -> str:
    from reapair.agent.model.servers import detect

    return detect(base_url).model


@contextlib.contextmanager
def _model_socket(base_url: str, folder: Path) -> Iterator[dict[str, int]]:
    """Lead a socket in a folder to the model; count the requests that go through it."""
    folder.mkdir()
    folder.chmod(0o755)
    address = urlsplit(base_url)
    used = {"requests": 0}
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "socket"))
    (folder / "socket").chmod(0o666)
    listener.listen(16)

    def pump(source: socket.socket, target: socket.socket, *, count: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if count:
                    used["requests"] += len(re.findall(rb"^POST \S+/chat/completions", data, re.M))
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = listener.accept()
                other = socket.create_connection((str(address.hostname), address.port or 80))
                for source, target, count in ((one, other, True), (other, one, False)):
                    threading.Thread(
                        target=pump, args=(source, target), kwargs={"count": count}, daemon=True
                    ).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield used
    finally:
        listener.close()
