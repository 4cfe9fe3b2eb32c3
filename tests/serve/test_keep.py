"""A server that stays: started, found by solve and doctor, stopped; on the real llama.cpp."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from reapair.agent.demo import ISSUE, MODEL, unpack
from reapair.agent.model.servers import find_local
from reapair.agent.model.types import ModelError
from reapair.agent.serve.hardware import this_machine
from reapair.agent.serve.keep import Keeper
from reapair.agent.serve.plan import Plan
from reapair.sandbox.limits import GIB

pytestmark = [pytest.mark.llama]

AGENT = str(Path(sys.executable).with_name("agent"))


def plan(model: Path = MODEL) -> Plan:
    return Plan("embedded", model.name, model.stat().st_size, 4_096, 1, "a test", path=model)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()


def test_it_stays_is_known_and_ends(tmp_path: Path) -> None:
    said: list[str] = []
    kept = Keeper(tmp_path).start(plan(), MODEL, port=0, say=said.append)
    try:
        assert Keeper(tmp_path).running() == kept
        models = httpx2.get(
            f"{kept.base_url}/models", headers={"Authorization": f"Bearer {kept.api_key}"}
        )
        assert models.status_code == 200
        assert httpx2.get(f"{kept.base_url}/models").status_code == 401
        assert (tmp_path / "server.json").stat().st_mode & 0o777 == 0o600
        assert tmp_path.stat().st_mode & 0o777 == 0o700
        command = Path(f"/proc/{kept.pid}/cmdline").read_bytes()
        assert kept.api_key.encode() not in command
        with pytest.raises(ModelError, match="agent serve --stop"):
            Keeper(tmp_path).start(plan(), MODEL, port=0)
    finally:
        assert Keeper(tmp_path).stop() == kept
    assert gone(kept.pid)
    assert Keeper(tmp_path).running() is None
    assert Keeper(tmp_path).stop() is None


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ModelError, match=f"Port {port} is taken"):
            Keeper(tmp_path).start(plan(), MODEL, port=port)


def test_what_cannot_be_loaded_leaves_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(MODEL.read_bytes()[:100_000])
    with pytest.raises(ModelError, match=r"could not serve broken\.gguf") as caught:
        Keeper(tmp_path / "state").start(plan(broken), broken, port=0)
    assert str(tmp_path / "state" / "server.log") in str(caught.value)
    assert Keeper(tmp_path / "state").running() is None


def test_a_server_killed_from_outside_is_not_believed_in(tmp_path: Path) -> None:
    kept = Keeper(tmp_path).start(plan(), MODEL, port=0)
    os.killpg(kept.pid, signal.SIGKILL)
    os.waitpid(kept.pid, 0)
    assert Keeper(tmp_path).running() is None


def test_a_leased_one_ends_with_its_owner_even_on_kill_9(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; sys.path[:0] = ['tests']\n"
        "from reapair.agent.serve.keep import Keeper; from reapair.agent.serve.plan import Plan\n"
        f"model = Path({str(MODEL)!r})\n"
        "plan = Plan('embedded', model.name, 1, 4096, 1, 'a test', path=model)\n"
        f"keeper = Keeper(Path({str(tmp_path)!r}))\n"
        "print(keeper.start(plan, model, port=0, leased=True).pid, flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as owner:
        assert owner.stdout
        pid = int(owner.stdout.readline())
        owner.kill()
    end = time.monotonic() + 20
    while not gone(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert gone(pid)


@pytest.mark.slow
def test_the_commands(tmp_path: Path) -> None:
    """The transcript of the documentation: serve, doctor, stop; nothing is left."""
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    for name in ("AGENT_BASE_URL", "OPENAI_BASE_URL"):
        environment.pop(name, None)

    def agent(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [AGENT, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    served = agent("serve", "--engine", "embedded", "--model", str(MODEL), "--port", "0")
    try:
        assert served.returncode == 0, served.stdout + served.stderr
        assert "serving at http://127.0.0.1:" in served.stderr
        assert "tool call" in served.stdout  # the preflight
        assert agent("serve", "--engine", "embedded", "--model", str(MODEL)).returncode == 3
        assert "llama.cpp" in agent("doctor", "--sandbox", "none").stdout
    finally:
        stopped = agent("serve", "--stop")
    assert stopped.stdout.startswith(f"stopped {MODEL.name}")
    assert agent("serve", "--stop").stdout == "no server of ours runs\n"


@pytest.mark.long
def test_solve_starts_a_server_when_asked(tmp_path: Path) -> None:
    """The tiny model takes the place of a real file; plan, start and solve are the user's own."""
    if this_machine().memory < 23 * GIB:
        pytest.skip("the file that the tiny model stands for would not fit into this memory")
    models = tmp_path / "share" / "agent" / "models"
    models.mkdir(parents=True)
    shutil.copy(MODEL, models / "GLM-4.7-Flash-REAP-23B-A3B-UD-Q4_K_XL.gguf")
    repository = unpack(tmp_path / "timesheet")
    environment = os.environ | {
        "XDG_STATE_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "share"),
        "HOME": str(tmp_path),
    }  # fmt: skip
    for name in ("AGENT_BASE_URL", "OPENAI_BASE_URL"):
        environment.pop(name, None)
    # On this machine's usual ports nothing may answer; where something does, it would be found.
    if find_local() is not None:
        pytest.skip("a model server answers on this machine's usual ports")

    def agent(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [AGENT, *arguments], cwd=repository, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip

    arguments = ("solve", str(ISSUE), "--sandbox", "none", "--max-steps", "20")
    refused = agent(*arguments)
    assert refused.returncode == 3
    assert "agent serve" in refused.stderr
    try:
        solved = agent(*arguments, "--serve")
        assert "branch agent/" in solved.stdout, solved.stdout + solved.stderr
        assert "serving at http://127.0.0.1:" in solved.stderr
        assert "UD-Q4_K_XL" in solved.stderr
    finally:
        stopped = agent("serve", "--stop")
    assert stopped.stdout.startswith("stopped GLM-4.7-Flash-REAP-23B-A3B-UD-Q4_K_XL.gguf")
