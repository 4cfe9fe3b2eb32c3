"""What a patch changes, file by file, and which of it is test and which is product."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from reapair.agent.proof.support import is_support
from reapair.sandbox import Sandbox
from reapair.sandbox.git.patch import Patch
from reapair.sandbox.git.patch_parser import FileDiff
from reapair.tools.files import decode, read_many


@dataclass(frozen=True, slots=True)
class Change:
    """One file's part of a patch.

    Attributes:
        part: its piece of the patch.
        old, new: its paths; None before it was made and after it was deleted.
        added: line numbers (from 1) in the new file that the patch brings.
        cut: line numbers in the new file at which lines were only taken away.
        removed: the lines that were taken away.
        before, after: the file's text on both sides; "" where there is none.
        support: it is a test, or something only tests use, so the proof runs the original.
    """

    part: bytes
    old: str | None
    new: str | None
    added: frozenset[int] = frozenset()
    cut: frozenset[int] = frozenset()
    removed: tuple[str, ...] = ()
    before: str = ""
    after: str = ""
    support: bool = False

    @property
    def path(self) -> str:
        """The name that people are told."""
        return self.new or self.old or "?"

    @property
    def is_new(self) -> bool:
        """True when nothing of the file was there before."""
        return self.old is None

    @property
    def python(self) -> bool:
        """True for Python source that is there after the patch."""
        return self.new is not None and self.new.endswith((".py", ".pyi"))

    @property
    def added_text(self) -> str:
        """The added lines alone."""
        lines = self.after.split("\n")
        return "\n".join(lines[number - 1] for number in sorted(self.added) if number <= len(lines))


def read_changes(patch: bytes) -> list[Change]:
    """Return the patch's parts, without their texts."""
    return [_change(file) for file in Patch(patch).files]


def with_before(changes: list[Change], sandbox: Sandbox) -> list[Change]:
    """Return the changes with their files' texts as the untouched sandbox has them."""
    found = read_many(sandbox, sorted({c.old for c in changes if c.old}))
    return [replace(c, before=_text(found.get(c.old or "", b""))) for c in changes]


def with_after(changes: list[Change], sandbox: Sandbox) -> list[Change]:
    """Return the changes with their files' texts as the sandbox has them under the patch."""
    found = read_many(sandbox, sorted({c.new for c in changes if c.new}))
    return [replace(c, after=_text(found.get(c.new or "", b""))) for c in changes]


def judged(changes: list[Change], test_command: str) -> list[Change]:
    """Return the changes, with texts on both sides, sorted into product and test support."""
    return [
        replace(c, support=any(is_support(path, c.before, c.after, test_command) for path in names))
        for c in changes
        for names in [[name for name in (c.old, c.new) if name]]
    ]


def joined(changes: list[Change], *, support: bool) -> bytes:
    """Return the patch's test parts, or all the others."""
    return b"".join(change.part for change in changes if change.support is support)


def parted(patch: bytes) -> tuple[bytes, bytes]:
    """Return the patch without its tests, judged by their names alone, and the tests."""
    changes = [replace(c, support=any(map(_named_support, (c.old, c.new)))) for c in
               read_changes(patch)]  # fmt: skip
    return joined(changes, support=False), joined(changes, support=True)


def first_tests_of(history: Iterable[bytes], final: bytes) -> bytes:
    """Return the tests that stood in the tree when product code of the final patch first changed.

    Args:
        history: the change after each step of the run, as the log has it.
    """
    product = {c.path for c in read_changes(parted(final)[0])}
    tests = b""
    for patch in history:
        code, now = parted(patch)
        if any(change.path in product for change in read_changes(code)):
            return tests
        tests = now
    return b""


def _named_support(name: str | None) -> bool:
    return name is not None and is_support(name, "", "", "")


def _change(file: FileDiff) -> Change:
    return Change(
        file.part,
        _name(file.old),
        _name(file.new),
        added=frozenset(file.added),
        cut=frozenset(file.cut).difference(file.added),
        removed=tuple(line.decode("utf-8", "replace") for line in file.removed),
    )


def _name(path: bytes | None) -> str | None:
    return None if path is None else str(PurePosixPath(path.decode("utf-8", "replace")))


def _text(data: bytes) -> str:
    known = decode(data)
    return known.text if known else ""
