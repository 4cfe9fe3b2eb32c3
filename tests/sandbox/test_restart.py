"""An engine that ends and comes back in the middle of a run: told by name, and never waited for."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from conftest import require

from reapair.sandbox.base import SandboxError
from reapair.sandbox.containers.docker import DockerSandbox
from reapair.sandbox.containers.docker_engine import DockerEngine
from support.dockerd import OwnEngine, own_engine

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    require("dockerd", shutil.which("dockerd") is not None, "it is not installed")
    with own_engine() as engine, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", engine.address)
        yield engine


def make(engine: OwnEngine) -> DockerSandbox:
    return DockerSandbox(DockerEngine().connect, engine.IMAGE, "restart")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_engine_that_ends_under_a_command_ends_it_by_name(
    engine: OwnEngine, number: signal.Signals
) -> None:
    sandbox = make(engine)
    sandbox.start()
    old = sandbox.container
    ending = threading.Timer(1, lambda: engine.end(number))
    ending.start()
    begin = time.monotonic()
    result = sandbox.exec("echo begun; sleep 600", timeout=300)
    taken = time.monotonic() - begin
    ending.join()
    assert (result.died, result.exit_code, result.stdout) == (True, None, b"begun\n")
    with pytest.raises(SandboxError, match="not running"):
        sandbox.exec("true")
    with pytest.raises(SandboxError, match="does not answer"):
        make(engine).start()
    sandbox.close()
    assert taken < 60
    engine.start()
    with make(engine) as fresh:
        assert fresh.exec("echo again").text == "again\n"
    DockerEngine().sweep()
    left = {each["Id"] for each in DockerEngine().connect().containers(all=True)}
    assert old not in left


def test_an_engine_that_restarts_between_two_commands_is_a_result_once(engine: OwnEngine) -> None:
    sandbox = make(engine)
    sandbox.start()
    engine.end(signal.SIGTERM)
    engine.start()
    assert sandbox.exec("true").died
    with pytest.raises(SandboxError):
        sandbox.exec("true")
