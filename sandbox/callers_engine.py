"""Sandboxes that the caller makes: on a cluster, in a cloud, wherever commands can be run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from reapair.sandbox.environment import Engine, Environment

if TYPE_CHECKING:
    from reapair.sandbox.base import Kind, Sandbox


class CallersEngine(Engine):
    """The caller's own sandboxes, which have the repository's dependencies already.

    Args:
        make: returns another sandbox each time, not started; may be called from several threads.
    """

    kind: Kind = "none"

    def __init__(self, make: Callable[[], Sandbox]) -> None:
        self._make = make

    def check(self) -> None:
        """Do nothing: the caller is responsible for them."""

    def prepare(
        self,
        key: bytes,  # noqa: ARG002
        setup_command: str | None,  # noqa: ARG002
        fill: Callable[[Sandbox], None],  # noqa: ARG002
        on_output: Callable[[str], None],  # noqa: ARG002
    ) -> Environment:
        """Install nothing."""
        return Environment("")

    def sandbox(self, environment: Environment, run_id: str) -> Sandbox:  # noqa: ARG002
        """Return another of the caller's sandboxes."""
        return self._make()

    def sweep(self) -> None:
        """Remove nothing: the caller made them."""

    def caveats(self) -> list[str]:
        """Return that nothing is installed in such sandboxes."""
        return ["Nothing is installed in your own sandboxes: they must have what the tests need."]
