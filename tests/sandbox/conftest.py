from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import require

from reapair.sandbox.base import Kind, Sandbox, SandboxError
from reapair.sandbox.docker_engine import DockerEngine
from reapair.sandbox.engines import choose
from support.sandboxes import SEALED, Make, maker


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def engine_kinds() -> dict[Kind, str]:
    """The engines that do not work here, and why."""
    problems: dict[Kind, str] = {}
    for kind in (*SEALED, "none"):
        try:
            choose(kind)
        except SandboxError as error:
            problems[kind] = str(error)
    return problems


@pytest.fixture(scope="module", params=[*SEALED, "none"])
def make(request: pytest.FixtureRequest, engine_kinds: dict[Kind, str]) -> Make:
    return maker(request.param, engine_kinds)


@pytest.fixture(scope="module")
def box(make: Make) -> Iterator[Sandbox]:
    """A sandbox of any kind, shared by the tests of a file."""
    with make() as sandbox:
        yield sandbox


@pytest.fixture(scope="module", params=SEALED)
def make_sealed(request: pytest.FixtureRequest, engine_kinds: dict[Kind, str]) -> Make:
    return maker(request.param, engine_kinds)


@pytest.fixture(scope="module")
def sealed(make_sealed: Make) -> Iterator[Sandbox]:
    """A sandbox that really isolates, shared by the tests of a file."""
    with make_sealed() as sandbox:
        yield sandbox


@pytest.fixture
def docker(engine_kinds: dict[Kind, str]) -> DockerEngine:
    require("docker", "docker" not in engine_kinds, engine_kinds.get("docker", ""))
    return DockerEngine()
