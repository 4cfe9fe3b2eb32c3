"""A sandbox with a small repository; nothing that these tests run is hostile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reapair.sandbox.base import Sandbox
from reapair.sandbox.host.no_sandbox import NoSandbox
from reapair.tools import Observation, TestReport, TestRunner, Toolbox, standard_tools
from support.workspaces import SLUG, diff, fill


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def empty() -> Iterator[Sandbox]:
    with NoSandbox("test") as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def shared_slug() -> Iterator[Sandbox]:
    """The package with one bug, for tests that leave it as it is."""
    with NoSandbox("test") as sandbox:
        fill(sandbox, SLUG)
        yield sandbox


@pytest.fixture
def slug(empty: Sandbox) -> Sandbox:
    """A workspace with the package that has one bug."""
    fill(empty, SLUG)
    return empty


Call = Callable[..., Observation]

RUNNER = TestRunner("PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest")
"""Without the plugins that happen to be installed beside us: they take seconds to load."""


def calling(sandbox: Sandbox, baseline: TestReport | None = None) -> Call:
    tools = standard_tools(RUNNER, lambda: baseline, diff)
    box = Toolbox(tools, lambda: sandbox)

    def call(name: str, **arguments: Any) -> Observation:
        return box.call(name, arguments)

    return call


@pytest.fixture
def call(slug: Sandbox) -> Call:
    """Calls a tool by name on the small package."""
    return calling(slug)
