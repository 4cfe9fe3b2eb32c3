"""The repository map of the first prompt: made while the sandbox starts, never in its way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING

from reapair.tools.observation import listed

if TYPE_CHECKING:
    from reapair.tools.code.index import Indexed


class RepositoryMap:
    """Reads a snapshot's sources in the background, from its creation on.

    Args:
        git: runs git on the snapshot's objects with these arguments and standard input.
        tree: id of the snapshot's tree.
    """

    def __init__(self, git: Callable[..., bytes], tree: str) -> None:
        self._git = git
        self._tree = tree
        self._files: Future[Mapping[str, Indexed]] = Future()
        threading.Thread(target=self._read, name="index", daemon=True).start()

    def text(self, issue: str, tokens: int) -> str:
        """Return the map for an issue in at most so many tokens; "" when none could be made."""
        from reapair.tools.code.map import repository_map

        try:
            return repository_map(self.files, issue, tokens)
        except Exception:  # A run does without a map; it must not end for want of one.
            return ""

    @property
    def files(self) -> Mapping[str, Indexed]:
        """The index of the snapshot's files; empty when none could be made."""
        try:
            return self._files.result()
        except Exception:
            return {}

    def notes(self) -> list[str]:
        """Return which sources are known by name only, in a line; waits for the index."""
        hard = [path for path, file in self.files.items() if file.too_hard]
        if not hard:
            return []
        return [
            f"Known by name only, because parsing them takes too much: {listed(hard)}. "
            "The model finds nothing in them but by search."
        ]

    def _read(self) -> None:
        try:
            from reapair.tools.code.blob_sources import TreeSource
            from reapair.tools.code.index import Index

            self._files.set_result(Index().files(TreeSource(self._git, self._tree)))
        except BaseException as problem:
            self._files.set_exception(problem)
