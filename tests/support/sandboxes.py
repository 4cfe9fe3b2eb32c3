"""Small sandboxes of every kind, for the tests that all of them have to pass."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

from conftest import require

from reapair.sandbox.base import Kind, Sandbox
from reapair.sandbox.containers.docker import DockerSandbox
from reapair.sandbox.containers.docker_engine import DockerEngine
from reapair.sandbox.host.bubblewrap import BubblewrapSandbox
from reapair.sandbox.host.no_sandbox import NoSandbox
from reapair.sandbox.limits import MIB, Limits

SMALL = Limits(memory=384 * MIB, tmp=32 * MIB, file=64 * MIB, processes=100, cpus=1)

# Docker and bubblewrap are looked for everywhere, podman where it is installed or required.
_PODMAN = shutil.which("podman") or os.environ.get("REAPAIR_REQUIRE") == "all"
SEALED: list[Kind] = ["docker", *(["podman"] if _PODMAN else []), "bubblewrap"]  # type: ignore[list-item]
KINDS: list[Kind] = [*SEALED, "none"]

Make = Callable[..., Sandbox]

Missing = Callable[[Kind], str]
"""Says why a kind does not work here; "" when it does."""


def maker(kind: Kind, missing: Missing) -> Make:
    """Return what makes small sandboxes of a kind; skips or fails where that kind is missing."""
    require(kind, not missing(kind), missing(kind))

    def make(**options: Any) -> Sandbox:
        options = {"limits": SMALL} | options
        if kind == "bubblewrap":
            return BubblewrapSandbox("test", **options)
        if kind == "none":
            return NoSandbox("test", **options)
        engine = DockerEngine("docker" if kind == "docker" else "podman")
        return DockerSandbox(engine.connect, engine.base_image(), "test", kind=kind, **options)

    return make
