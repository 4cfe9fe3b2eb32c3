"""What the hand-over needs from outside: somebody who can open a pull request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from reapair.agent.result import Result


class HandoverError(Exception):
    """The patch could not be handed over. The message says why and what to do."""


class OpenPullRequest(Protocol):
    """Opens draft pull requests; the command line brings the one for GitHub."""

    def __call__(
        self, address: str, repository: Path, patch: bytes, result: Result, *, model: str
    ) -> str:
        """Open a draft pull request with the patch, and return its address.

        Args:
            address: of the issue that the patch is for.
            repository: the user's; only read.
            patch: what is proposed.
            result: of the run, with its evidence.
            model: which one made the patch.

        Raises HandoverError when it can't be opened.
        """
