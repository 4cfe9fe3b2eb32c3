"""The choice of an engine: the first one in which a command really ran."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from reapair.sandbox.base import Kind, SandboxError
from reapair.sandbox.environment import Engine

AUTOMATIC: tuple[Kind, ...] = ("docker", "podman", "bubblewrap")
"""What `auto` tries, in this order; never `none`."""


def choose(
    kind: Kind | Literal["auto"] = "auto",
    *,
    image: str | None = None,
    trust: bool = False,
    make: Callable[[Kind], Engine] | None = None,
) -> Engine:
    """Return an engine in which a command has run: just now, or since the machine was started.

    Args:
        kind: one engine, or "auto" for the first that works of AUTOMATIC.
        image: the user's own image; only docker and podman can use one.
        trust: do not try again what has worked before with the same engine and image.
        make: makes the engine of a kind; default: ours, on `image`.

    Raises SandboxError that says what was tried and what to do.
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
        + "\nStart Docker or podman, or install bubblewrap. To run without any isolation, "
        "in a machine you can throw away, say so: --sandbox none"
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
