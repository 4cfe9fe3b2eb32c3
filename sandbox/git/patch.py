"""A patch as one value: its bytes, and what they say, read once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from reapair.sandbox.git.patch_parser import FileDiff, parse
from reapair.sandbox.git.patch_policy import SIZE_LIMIT, Violation, violations_of


class Patch:
    """A unified diff, as git writes it or close to it; any bytes are taken."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @cached_property
    def files(self) -> list[FileDiff]:
        """What it does, file by file, in its order."""
        return parse(self.data)

    @property
    def paths(self) -> list[str]:
        """The paths that it creates, changes, renames (both names) or deletes, printable."""
        return list(dict.fromkeys(path for file in self.files for path in file.paths))

    def part(self, wanted: Callable[[FileDiff], bool]) -> bytes:
        """Return the patch of some of its files."""
        return b"".join(file.part for file in self.files if wanted(file))

    def violations(self, *, allow_workflows: bool = False) -> list[Violation]:
        """Return every rule the patch breaks, each path once a rule; [] when it may be used.

        With `allow_workflows`, it may change what a forge runs by itself.
        """
        if len(self.data) > SIZE_LIMIT:
            message = f"The patch has {len(self.data)} bytes; at most {SIZE_LIMIT} are taken."
            return [Violation("size", "", message)]
        found: dict[tuple[str, str], Violation] = {}
        for file in self.files:
            for violation in violations_of(file):
                if violation.rule != "workflow" or not allow_workflows:
                    found.setdefault((violation.rule, violation.path), violation)
        return list(found.values())
