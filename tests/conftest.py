"""What all tests share."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from typing import Literal

# The product imports these in a thread. pytest rewrites some of them, as they are plugins too, and
# Python 3.11 cannot make two syntax trees at once.
import langsmith.run_helpers  # noqa: F401
import openai  # noqa: F401
import pytest
from hypothesis import settings

# A checkpoint may hold plain values only: langgraph is going to refuse types of ours by default.
os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"

from reapair.sandbox import Kind

# Where everything is required, a commit is judged by the same examples each time.
settings.register_profile("required", derandomize=True)
if os.environ.get("REAPAIR_REQUIRE") == "all":
    settings.load_profile("required")


def require(name: str, available: bool, reason: str) -> None:
    """Skip the test where a real part is missing; fail instead where REAPAIR_REQUIRE=all."""
    if available:
        return
    if os.environ.get("REAPAIR_REQUIRE") == "all":
        pytest.fail(f"{name} is required here: {reason}")
    pytest.skip(f"{name}: {reason}")


@cache
def problem(kind: Kind | Literal["auto"]) -> str:
    """Return why no sandbox of a kind works here; empty when one does."""
    from reapair.sandbox import SandboxError, choose

    try:
        choose(kind)
    except SandboxError as error:
        return str(error)
    return ""


@pytest.fixture(scope="session")
def docker_problem() -> str:
    """Why Docker does not work here; empty when it does."""
    return problem("docker")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Require the real parts that a test's marks name, before fixtures of any scope need them."""
    if item.get_closest_marker("engine"):
        require("sandbox engine", not problem("auto"), problem("auto"))
    if item.get_closest_marker("docker"):
        require("docker", not problem("docker"), problem("docker"))
    if item.get_closest_marker("llama"):
        require("llama.cpp", find_spec("xllamacpp") is not None, "pip install 'reapair[local]'")


@pytest.fixture(autouse=True)
def _strategy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pin the loop, which most tests are about; those of guided solving name their strategy."""
    if request.node.get_closest_marker("guided") is None:
        monkeypatch.setenv("AGENT_STRATEGY", "loop")
