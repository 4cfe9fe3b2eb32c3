from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import problem, require

from reapair.sandbox.base import Sandbox
from reapair.sandbox.containers.docker_engine import DockerEngine
from support.sandboxes import KINDS, SEALED, Make, Missing, maker


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def missing() -> Missing:
    """Why an engine does not work here, empty when it does; each is tried when it is asked for."""
    return problem


@pytest.fixture(scope="module", params=KINDS)
def make(request: pytest.FixtureRequest, missing: Missing) -> Make:
    return maker(request.param, missing)


@pytest.fixture(scope="module")
def box(make: Make) -> Iterator[Sandbox]:
    """A sandbox of any kind, shared by the tests of a file."""
    with make() as sandbox:
        yield sandbox


@pytest.fixture(scope="module", params=SEALED)
def make_sealed(request: pytest.FixtureRequest, missing: Missing) -> Make:
    return maker(request.param, missing)


@pytest.fixture(scope="module")
def sealed(make_sealed: Make) -> Iterator[Sandbox]:
    """A sandbox that really isolates, shared by the tests of a file."""
    with make_sealed() as sandbox:
        yield sandbox


@pytest.fixture
def docker(missing: Missing) -> DockerEngine:
    require("docker", not missing("docker"), missing("docker"))
    return DockerEngine()
