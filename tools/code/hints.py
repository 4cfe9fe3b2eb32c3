"""What an issue's text points at: paths, names written as code, plain words."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from reapair.tools.code.languages import language_of

_LONGEST = 100_000
_WORD = re.compile(r"[A-Za-z_]\w{2,}")
_CODE = re.compile(r"```.*?```|`[^`\n]+`|\"[^\"\n]{2,80}\"|'[^'\n]{2,80}'", re.S)
_PATH = re.compile(r"[\w.-]*(?:/[\w.-]+)*[\w-]\.\w{1,5}\b")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_FILLER = frozenset(
    re.findall(
        r"\w+",
        "the and for not are with this that from import class def return none true false self "
        "when has have should would can file line most recent call last traceback error raise "
        "name value type object test tests python print get set use used but does instead",
    )
)


@dataclass(frozen=True, slots=True)
class Hints:
    """Names and paths of an issue: `code` stood there as code, `words` anywhere."""

    code: frozenset[str]
    words: frozenset[str]
    paths: frozenset[str]

    @classmethod
    def of(cls, issue: str) -> Hints:
        """Read an issue's text."""
        text = issue[:_LONGEST]
        paths = {path for path in _PATH.findall(text) if "/" in path or language_of(path)}
        # What stands in a path is no name, except where it stands elsewhere too.
        text = _PATH.sub(lambda found: " " if found[0] in paths else found[0], text)
        words = {word for word in _WORD.findall(text) if word.lower() not in _FILLER}
        quoted = {word for part in _CODE.findall(text) for word in _WORD.findall(part)}
        dotted = _DOTTED.findall(text)
        # Of `package.module.Class.method` the first words are places, not names.
        parts = {part for name in dotted for part in name.split(".")[-2:]}
        shaped = {word for word in words if _is_identifier(word)}
        code = frozenset((quoted | parts | shaped) & words)
        paths = {path.lstrip("./") for path in paths} | {name.replace(".", "/") for name in dotted}
        return cls(code, frozenset(words), frozenset(paths))

    def named_files(self, paths: Iterable[str]) -> list[str]:
        """Return those of the paths that the issue names, by path or as a dotted module."""
        wanted: set[str] = set()
        for path in self.paths:
            parts = path.split("/")
            # A module may be followed by what is in it, a path may begin with a machine's folders.
            wanted |= {"/".join(parts[:end]) for end in range(2, len(parts) + 1)}
            wanted |= {"/".join(parts[begin:]) for begin in range(len(parts) - 1)}
            if "." in parts[-1]:
                wanted.add(parts[-1])
        return [path for path in paths if wanted.intersection(_endings(path))]


def _endings(path: str) -> list[str]:
    """Return what an issue may call a file: its last parts, with and without its suffix."""
    parts = path.split("/")
    whole = ["/".join(parts[begin:]) for begin in range(len(parts))]
    stem = posixpath.splitext(path)[0].removesuffix("/__init__").split("/")
    return [*whole, *("/".join(stem[begin:]) for begin in range(len(stem) - 1))]


def _is_identifier(word: str) -> bool:
    return "_" in word.strip("_") or bool(re.search(r"[a-z0-9][A-Z]", word))
