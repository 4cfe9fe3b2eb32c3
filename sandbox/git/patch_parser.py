"""Parse the file headers and hunks of a git patch the way `git apply` reads them.

A reader that misses a header `git apply` would see is a hole in the policy. So only lines inside a
well-formed hunk are passed over; every other line that could be a header counts as one, and where
a name can be read in several ways all readings are kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

SYMLINK = 0o120000
GITLINK = 0o160000
_TYPE = 0o170000
UNREADABLE = b"/"
"""Stands for a name that git may read in ways not followed here; no file has that name."""

_HUNK = re.compile(rb"@@ -\d{1,18}(?:,(\d{1,18}))? \+(\d{1,18})(?:,(\d{1,18}))? @@")
_MODE = re.compile(rb"\s*([+-]?[0-7]+)")
_TIMESTAMP = re.compile(rb"(?<![ \t])[ \t]*(?:(?:\d\d)?\d\d-\d\d-\d\d[ \t].*)?$", re.DOTALL)
_ESCAPE = re.compile(rb'\\([abfnrtv"\\]|[0-3][0-7][0-7])')
_QUOTED = re.compile(rb'"((?:[^"\\]|\\[abfnrtv"\\]|\\[0-3][0-7][0-7])*)"')
# Two unquoted names as long as a path can be, their prefixes, and the blank between.
_LONGEST_NAMES = 2 * 4096 + 16
_PLAIN_ESCAPES = dict(zip(b'abfnrtv"\\', b'\a\b\f\n\r\t\v"\\', strict=True))


@dataclass(slots=True)
class FileDiff:
    """One file's part of a patch.

    `old` and `new` are its paths (None: created, deleted, or not said). `readings` holds every path
    the headers could mean, `types` the file types they name. `content` are the lines that the hunks
    give the file, `added` the numbers (from 1) of the new ones; `removed` are the lines that they
    take away, `cut` the numbers in the new file at which these stood. `binary` says that some of it
    came in another way. `part` is its piece of the patch.
    """

    part: bytes = b""
    old: bytes | None = None
    new: bytes | None = None
    copied: bool = False
    readings: set[bytes] = field(default_factory=set)
    types: set[int] = field(default_factory=set)
    content: list[bytes] = field(default_factory=list)
    added: list[int] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    binary: bool = False
    named: bool = False
    has_body: bool = False

    @property
    def changed(self) -> list[bytes]:
        """Paths whose file differs after the patch."""
        old = None if self.copied or self.old == self.new else self.old
        return [path for path in (old, self.new) if path is not None]

    @property
    def paths(self) -> list[str]:
        """The same, printable."""
        return [printable(path) for path in self.changed]

    @property
    def changed_lines(self) -> int:
        """How many lines it adds and removes."""
        return len(self.added) + len(self.removed)

    def take(self, kind: bytes, text: bytes, number: int) -> int:
        """Take a line of a hunk that stands at a line of the new file; return the next one's."""
        if kind == b"-":
            self.removed.append(text)
            self.cut.append(number)
        elif kind in b" +":
            self.content.append(text)
            self.added += [number] if kind == b"+" else []
            return number + 1
        return number


def parse(patch: bytes) -> list[FileDiff]:
    """Return the changes of a patch, file by file, in its order. Takes any bytes."""
    files: list[FileDiff] = []
    starts: list[int] = []
    old_left = new_left = number = after = 0
    for line in patch.split(b"\n"):
        start, after = after, after + len(line) + 1
        if old_left > 0 or new_left > 0:
            kind = line[:1] or b" "
            if kind in b" -+\\" and _fits(kind, old_left, new_left):
                old_left -= kind in b" -"
                new_left -= kind in b" +"
                number = files[-1].take(kind, line[1:], number)
                continue
            old_left = new_left = 0
        if files and line.startswith(b"@@ -"):
            files[-1].has_body = True
            if hunk := _HUNK.match(line):
                number, old_left, new_left = int(hunk[2]), int(hunk[1] or 1), int(hunk[3] or 1)
        else:
            _read_header(line, files)
            starts += [start] * (len(files) - len(starts))
    for file, begin, end in zip(files, starts, [*starts[1:], len(patch)], strict=False):
        file.part = patch[begin:end]
    return [file for file in files if file.readings]


def _fits(kind: bytes, old_left: int, new_left: int) -> bool:
    """Return whether the hunk still has room for such a line; git calls it corrupt otherwise."""
    return (kind not in b" -" or old_left > 0) and (kind not in b" +" or new_left > 0)


def _read_header(line: bytes, files: list[FileDiff]) -> None:
    if line.startswith(b"diff --git "):
        files.append(_begin(line[len(b"diff --git ") :]))
        return
    if line.startswith(b"--- ") and (not files or files[-1].has_body or files[-1].named):
        files.append(FileDiff())
    if not files:
        return
    file = files[-1]
    if file.has_body:
        # git reads no names from here on; still they must be harmless.
        file = replace(file)
    if line.startswith((b"--- ", b"+++ ")):
        _read_side(line, file)
    elif line.startswith((b"rename from ", b"rename old ", b"copy from ")):
        file.old = _read_name(line, file)
        file.copied = line.startswith(b"copy")
    elif line.startswith((b"rename to ", b"rename new ", b"copy to ")):
        file.new = _read_name(line, file)
    elif line.startswith((b"GIT binary patch", b"Binary files ")):
        files[-1].binary = files[-1].has_body = True
    else:
        _read_mode(line, file)


def _begin(names: bytes) -> FileDiff:
    """Start a file from its `diff --git` line, where a blank in a name leaves the split open."""
    file = FileDiff()
    quoted = _QUOTED.match(names)
    if (not quoted and len(names) > _LONGEST_NAMES) or b'"' in _QUOTED.sub(b"", names):
        # Trying all its splits would take too long, and no such path exists.
        file.readings = {UNREADABLE}
        splits = []
    elif quoted:
        splits = [quoted.end()]
    else:
        splits = [at for at, byte in enumerate(names) if byte in b" \t"]
    for at in splits:
        old, new = _unquote(names[:at]), _unquote(names[at + 1 :])
        if _stripped(old) == _stripped(new):
            if file.old is None:
                file.old = file.new = _stripped(old)
            file.readings |= _readings(old) | _readings(new)
    return file


def _read_side(line: bytes, file: FileDiff) -> None:
    """Read a `--- a/path` or `+++ b/path` line."""
    raw = line[4:]
    file.named = file.named or line.startswith(b"---")
    names = [_unquote(raw) if raw.startswith(b'"') else re.split(rb"[\t\r]", raw)[0]]
    names.append(_TIMESTAMP.sub(b"", names[0]))
    path = None if b"/dev/null" in names else _stripped(names[0])
    if path is not None:
        file.readings |= {reading for name in names for reading in _readings(name)}
    if line.startswith(b"---"):
        file.old = path
    else:
        file.new = path


def _read_name(line: bytes, file: FileDiff) -> bytes:
    """Read the path, which has no prefix, of a rename or copy line."""
    raw = line.split(b" ", 2)[2]
    name = _unquote(raw) if raw.startswith(b'"') else raw.split(b"\r")[0]
    file.readings |= {name, raw}
    return name


def _read_mode(line: bytes, file: FileDiff) -> None:
    for start in (b"old mode ", b"new mode ", b"new file mode ", b"deleted file mode "):
        if line.startswith(start):
            _add_type(line[len(start) :], file)
    if line.startswith(b"index ") and b" " in line[6:]:
        _add_type(line[6:].partition(b" ")[2], file)
    if line.startswith(b"new file mode "):
        file.old = None
    if line.startswith(b"deleted file mode "):
        file.new = None


def _add_type(mode: bytes, file: FileDiff) -> None:
    if match := _MODE.match(mode):
        file.types.add(int(match[1], 8) & 0xFFFFFFFF & _TYPE)


def _readings(name: bytes) -> set[bytes]:
    """Return a prefixed name without its prefix, and with it where that may be part of the path."""
    return {_stripped(name)} if name.startswith((b"a/", b"b/")) else {name, _stripped(name)}


def _stripped(name: bytes) -> bytes:
    """Return a path without its first component, as `git apply` does by default."""
    return name.partition(b"/")[2] if b"/" in name else name


def _unquote(name: bytes) -> bytes:
    """Undo git's C-style quoting.

    git reads on in the next lines where a quote is not closed, and takes other mistakes literally.
    """
    if not name.startswith(b'"'):
        return name
    match = _QUOTED.match(name)
    return UNREADABLE if match is None else _ESCAPE.sub(_unescape, match[1])


def _unescape(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code, 8) if len(code) == 3 else _PLAIN_ESCAPES[code[0]]])


def printable(path: bytes) -> str:
    """Return a path that can always be printed, on a terminal too."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
