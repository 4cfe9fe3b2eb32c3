"""What is worked out once for each message: a history only grows, and all of it goes out again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class PerMessage(Generic[T]):
    """Applies a function to messages and remembers the results of those that came last time too.

    Messages are told apart by identity: they are never changed once they are in a history.
    """

    def __init__(self, function: Callable[[dict[str, Any]], T]) -> None:
        self._function = function
        self._known: dict[int, tuple[dict[str, Any], T]] = {}

    def __call__(self, messages: Sequence[dict[str, Any]]) -> list[T]:
        """Return the results in the order of the messages."""
        known, function = self._known, self._function
        # The message is kept beside its result, so that its identity is not given to another.
        self._known = {id(m): known.get(id(m)) or (m, function(m)) for m in messages}
        return [self._known[id(message)][1] for message in messages]
