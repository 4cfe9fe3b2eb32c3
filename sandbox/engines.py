"""Choose an engine: the first one in which a command really ran."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from reapair.sandbox.base import Kind, SandboxError
from reapair.sandbox.environment import Engine

AUTOMATIC: tuple[Kind, ...] = ("docker", "podman", "bubblewrap")
"""Kinds that `auto` tries, in this order; never `none`."""


def choose(
    kind: Kind | Literal["auto"] = "auto",
    *,
    image: str | None = None,
    trust: bool = False,
    make: Callable[[Kind], Engine] | None = None,
) -> Engine:
    """Return an engine in which a command ran, just now or since the machine was booted.

    Args:
        kind: one engine, or "auto" for the first that works of AUTOMATIC.
        image: the user's own image; only docker and podman can use one.
        trust: skip the check where the same engine and image have passed it since boot.
        make: makes the engine of a kind; default: the built-in ones, with `image`.

    Raises SandboxError; its message names what was tried and what to do.
    """
    reasons = []
    for candidate in AUTOMATIC if kind == "auto" else (kind,):
        try:
            engine = make(candidate) if make else _engine(candidate, image)
            if not (trust and engine.worked()):
                engine.check()
        except SandboxError as error:
            reasons.append(f"{candidate}: {error}")
        else:
            return engine
    if kind != "auto":
        raise SandboxError(reasons[0])
    raise SandboxError(
        "No sandbox works here.\n  "
        + "\n  ".join(reasons)
        + "\nStart Docker or podman, or install bubblewrap. On a machine you can throw "
        "away, --sandbox none runs commands without isolation."
    )


def _engine(kind: Kind, image: str | None) -> Engine:
    if kind in {"docker", "podman"}:
        from reapair.sandbox.containers.docker_engine import DockerEngine

        return DockerEngine(kind, image)
    if image:
        raise SandboxError("an image needs docker or podman.")
    from reapair.sandbox.host.bubblewrap import BubblewrapSandbox
    from reapair.sandbox.host.directory_sandbox import DirectoryEngine
    from reapair.sandbox.host.no_sandbox import NoSandbox

    return DirectoryEngine(BubblewrapSandbox if kind == "bubblewrap" else NoSandbox)
