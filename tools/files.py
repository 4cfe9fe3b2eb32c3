"""Files of the workspace as tools see them: paths, names nearby, text with its encoding."""

from __future__ import annotations

import difflib
import posixpath
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from reapair.sandbox.base import WORKSPACE, Sandbox
from reapair.tools.base import ToolError

HUGE = 2 * 1024 * 1024
"""Bytes from which a file is no longer read as a whole."""

_LISTING_LIMIT = 32 * 1024 * 1024
_TEST_FOLDERS = {"test", "tests", "testing", "__tests__", "spec", "specs"}
_TEST_FILE = re.compile(
    r"^(test_.*|.*_tests?|tests?|conftest)\.pyi?$|\.(test|spec)\.[cm]?[jt]sx?$|_test\.(go|rb)$"
)


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file's text and what it takes to write it back byte for byte.

    Where the encoding is not `certain`, each byte is read as one character of latin-1.
    """

    text: str
    encoding: str
    bom: bytes = b""
    certain: bool = True

    def encode(self, text: str) -> bytes:
        """Return `text` as bytes of this file. Raises ToolError for what its encoding lacks."""
        if not self.certain and (added := _not_ascii(text) - _not_ascii(self.text)):
            raise ToolError(
                "Nothing was changed: the encoding of the file is not known (it is not UTF-8), so "
                f"it is not known which bytes {''.join(added)!r} has there. Use an escape sequence "
                "or ASCII instead."
            )
        try:
            return self.bom + text.encode(self.encoding)
        except UnicodeEncodeError as error:
            lacking = text[error.start : error.end]
            raise ToolError(
                f"Nothing was changed: the file is in {self.encoding}, which cannot hold "
                f"{lacking!r}. Use an escape sequence instead."
            ) from None

    @property
    def traits(self) -> list[str]:
        """What is unusual about the file, in words."""
        found = []
        if self.encoding != "utf-8":
            found.append(f"encoding {self.encoding}")
        if self.bom:
            found.append("byte order mark")
        if "\r\n" in self.text:
            mixed = self.text.count("\n") != self.text.count("\r\n")
            found.append("mixed line endings" if mixed else "CRLF line endings")
        return found


def decode(data: bytes) -> TextFile | None:
    """Return the text of a file, or None when it is binary."""
    for bom, encoding in _BOMS.items():
        if data.startswith(bom):
            return _decoded_as(data[len(bom) :], encoding, bom)
    if b"\0" in data:
        return None
    return (
        _decoded_as(data, "utf-8")
        or _decoded_as(data, _declared(data))
        or TextFile(data.decode("latin-1"), "latin-1", certain=_NOT_WESTERN.search(data) is None)
    )


# In the languages of latin-1 most letters are ASCII, the others stand alone among them; two bytes
# in a row are a character of an Asian encoding, a word of a Cyrillic one or a sequence of UTF-8.
_NOT_WESTERN = re.compile(rb"[\x80-\x9f]|[\xa0-\xff]{2}")


def _not_ascii(text: str) -> Counter[str]:
    return Counter(character for character in text if not character.isascii())


_BOMS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


def _declared(data: bytes) -> str:
    """Return the encoding that a Python or Emacs cookie names, else ""."""
    head = b"\n".join(data.split(b"\n", 2)[:2])
    found = re.search(rb"coding[:=][ \t]*([-\w.]+)", head)
    return found.group(1).decode("ascii") if found else ""


def _decoded_as(data: bytes, encoding: str, bom: bytes = b"") -> TextFile | None:
    """Decode, unless that fails or would not give the same bytes back."""
    try:
        text = data.decode(encoding)
        same = text.encode(encoding) == data
    except (UnicodeError, LookupError):
        return None
    return TextFile(text, encoding.lower(), bom) if same else None


def split_lines(text: str) -> list[str]:
    """Split at line feeds only, without the line endings; a final line feed adds no line."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def relative(path: str) -> str:
    """Return the path relative to the workspace; one that lies elsewhere stays absolute.

    Raises ToolError for an empty path and for one that climbs out with `..`.
    """
    cleaned = path.strip()
    if not cleaned:
        raise ToolError("path is empty. Give a path relative to the repository root.")
    if cleaned == WORKSPACE or cleaned.startswith(f"{WORKSPACE}/"):
        cleaned = cleaned[len(WORKSPACE) :].lstrip("/") or "."
    cleaned = posixpath.normpath(cleaned)
    if cleaned.startswith(".."):
        raise ToolError(
            f"{path} lies outside the repository. Give a path relative to the repository root."
        )
    return cleaned


def quoted(path: str) -> str:
    """Return the path as one shell word that no command takes for an option."""
    return shlex.quote(path if path.startswith(("/", "./")) or path == "." else f"./{path}")


def is_test_file(path: str) -> bool:
    """Tell whether a path looks like a test, or something that only tests use."""
    *folders, name = path.split("/")
    return bool(_TEST_FOLDERS.intersection(folders) or _TEST_FILE.search(name))


def read_many(sandbox: Sandbox, paths: Sequence[str]) -> dict[str, bytes]:
    """Return the first HUGE bytes of each of these files, in one go; none of an unreadable one."""
    script = (
        f'for f in {" ".join(map(quoted, paths))}; do head -c {HUGE} "$f" 2>/dev/null | wc -c; '
        f'head -c {HUGE} "$f" 2>/dev/null; done; true'
    )
    rest = sandbox.exec(script, output_limit=_LISTING_LIMIT).stdout if paths else b""
    found = {}
    for path in paths:
        size, _, rest = rest.partition(b"\n")
        number = int(size) if size.strip().isdigit() else 0
        found[path], rest = rest[:number], rest[number:]
    return found


def listing(sandbox: Sandbox, folder: str = ".") -> list[str]:
    """Return the sorted paths of the files below a folder: those that Git does not ignore.

    Where Git knows of none, all that are at most four levels down.
    """
    where = quoted(folder)
    result = sandbox.exec(
        f"git ls-files -z -co --exclude-standard -- {where} && printf '\\0' && "
        f"git ls-files -z -d -- {where}",
        output_limit=_LISTING_LIMIT,
    )
    if not result.ok or not result.stdout.strip(b"\0"):
        result = sandbox.exec(
            f"find {where} -maxdepth 4 -name .git -prune -o -type f -print0",
            output_limit=_LISTING_LIMIT,
        )
    present, _, deleted = result.text.partition("\0\0")
    names = {name.removeprefix("./") for name in present.split("\0") if name}
    return sorted(names.difference(deleted.split("\0")))


def missing(path: str, sandbox: Sandbox) -> ToolError:
    """Return the error for a path that does not exist, with the nearest ones that do."""
    near = nearest(path, listing(sandbox))
    advice = f" Did you mean: {', '.join(near)}?" if near else " Use search to find the place."
    return ToolError(f"There is no file {path}.{advice}")


def nearest(path: str, names: list[str], most: int = 5) -> list[str]:
    """Return the names with the same base name, most like `path` first; else similar ones."""
    base = posixpath.basename(path)
    folders = {posixpath.dirname(name) for name in names} - {""}
    same = [name for name in [*names, *sorted(folders)] if posixpath.basename(name) == base]
    same.sort(key=lambda name: (-_common_tail(name, path), len(name), name))
    if same:
        return same[:most]
    stems = sorted({posixpath.basename(name) for name in names[:50_000]})
    like = difflib.get_close_matches(base, stems, n=3, cutoff=0.75)
    similar = [name for stem in like for name in names if posixpath.basename(name) == stem]
    return list(dict.fromkeys(similar))[:most]


def _common_tail(one: str, other: str) -> int:
    """Return how many path parts the two have in common, counted from the end."""
    pairs = zip(reversed(one.split("/")), reversed(other.split("/")), strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(one.count("/"), 99) + 1)
