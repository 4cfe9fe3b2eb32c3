"""Small sandboxes of every kind, for the tests that all of them have to pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import require

from reapair.sandbox.base import Kind, Sandbox
from reapair.sandbox.bubblewrap import BubblewrapSandbox
from reapair.sandbox.docker import DockerSandbox
from reapair.sandbox.docker_engine import DockerEngine, podman_socket
from reapair.sandbox.limits import MIB, Limits
from reapair.sandbox.local import LocalSandbox

SMALL = Limits(memory=384 * MIB, tmp=32 * MIB, file=64 * MIB, processes=100, cpus=1)

# Podman is tried where its socket is; Docker and bubblewrap are looked for everywhere.
PODMAN = podman_socket().removeprefix("unix://")
SEALED: list[Kind] = [
    "docker",
    *(["podman"] if Path(PODMAN).exists() else []),
    "bubblewrap",
]

Make = Callable[..., Sandbox]


def maker(kind: Kind, problems: dict[Kind, str]) -> Make:
    """Return what makes small sandboxes of a kind; skips or fails where that kind is missing."""
    require(kind, kind not in problems, problems.get(kind, ""))

    def make(**options: Any) -> Sandbox:
        options = {"limits": SMALL} | options
        if kind == "bubblewrap":
            return BubblewrapSandbox("test", **options)
        if kind == "none":
            return LocalSandbox("test", **options)
        engine = DockerEngine("docker" if kind == "docker" else "podman")
        return DockerSandbox(engine.connect, engine.base_image(), "test", kind=kind, **options)

    return make
