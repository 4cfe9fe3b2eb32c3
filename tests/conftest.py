"""What all tests share."""

from __future__ import annotations

import os
from importlib.util import find_spec

# The product imports these in a thread. pytest rewrites some of them, as they are plugins too, and
# Python 3.11 cannot make two syntax trees at once.
import langsmith.run_helpers  # noqa: F401
import openai  # noqa: F401
import pytest
from hypothesis import settings

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


@pytest.fixture(scope="session")
def engine_problem() -> str:
    """Why no sandbox engine works here; empty when one does."""
    from reapair.sandbox import SandboxError, choose

    try:
        choose("auto")
    except SandboxError as error:
        return str(error)
    return ""


@pytest.fixture(scope="session")
def docker_problem() -> str:
    """Why Docker does not work here; empty when it does."""
    from reapair.sandbox import SandboxError, choose

    try:
        choose("docker")
    except SandboxError as error:
        return str(error)
    return ""


@pytest.fixture(autouse=True)
def _needs(request: pytest.FixtureRequest) -> None:
    """Ask for the real parts that a test's marks name."""
    if request.node.get_closest_marker("engine"):
        problem = request.getfixturevalue("engine_problem")
        require("sandbox engine", not problem, problem)
    if request.node.get_closest_marker("docker"):
        problem = request.getfixturevalue("docker_problem")
        require("docker", not problem, problem)
    if request.node.get_closest_marker("llama"):
        require("llama.cpp", find_spec("xllamacpp") is not None, "pip install 'reapair[local]'")
