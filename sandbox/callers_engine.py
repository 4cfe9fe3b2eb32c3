"""Sandboxes that the caller makes: on a cluster, in a cloud, wherever `exec` can be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from reapair.sandbox.environment import Engine, Environment

if TYPE_CHECKING:
    from reapair.sandbox.base import Kind, Sandbox


class CallersEngine(Engine):
    """Hands out the caller's sandboxes; what the repository needs is in them already.

    Args:
        make: returns another sandbox each time, not started; may be called from several threads.
    """

    kind: Kind = "none"

    def __init__(self, make: Callable[[], Sandbox]) -> None:
        self._make = make

    def check(self) -> None:
        """Do nothing: the caller knows that they work."""

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
        """Return another one of the caller's."""
        return self._make()

    def sweep(self) -> None:
        """Remove nothing: the caller made them."""

    def caveats(self) -> list[str]:
        """Say what is not done for such sandboxes."""
        return ["Sandboxes of your own: they bring what the tests need, nothing is installed."]
