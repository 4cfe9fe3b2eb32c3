"""What all tests share."""

from __future__ import annotations

import os

import pytest


def require(name: str, available: bool, reason: str) -> None:
    """Skip the test where a real part is missing; fail instead where REAPAIR_REQUIRE=all."""
    if available:
        return
    if os.environ.get("REAPAIR_REQUIRE") == "all":
        pytest.fail(f"{name} is required here: {reason}")
    pytest.skip(f"{name}: {reason}")
