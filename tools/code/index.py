"""The index: definitions and names of every source file, by content, parsed once."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from reapair.tools.code.blob_sources import Source, blob_of
from reapair.tools.code.cache import Cache
from reapair.tools.code.languages import Language, language_of
from reapair.tools.code.tags import Definition, Tags, tags
from reapair.tools.files import is_test_file

MOST_FILES = 20_000
"""Source files taken of one repository: those that are no tests first, by path."""

_SAVED_AT_ONCE = 500


class Indexed:
    """One file's definitions and names; unpacked when they are asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @cached_property
    def _unpacked(self) -> tuple[list[list[Any]], dict[str, int]]:
        definitions, names = json.loads(self._data)
        return definitions, names

    @cached_property
    def definitions(self) -> list[Definition]:
        """What the file defines, in the order of its text."""
        return [Definition(*row) for row in self._unpacked[0]]

    @property
    def names(self) -> dict[str, int]:
        """How often the file says each name, its definitions included."""
        return self._unpacked[1]

    def mentions(self, name: str) -> bool:
        """Tell whether the file may say the name: quick, wrong only by a yes."""
        return json.dumps(name).encode() in self._data

    @classmethod
    def of(cls, found: Tags) -> Indexed:
        """Pack what was found in a file."""
        rows = [
            [
                *(entry.name, entry.kind, entry.header),
                *(entry.start, entry.line, entry.end, entry.depth, entry.local),
            ]
            for entry in found.definitions
        ]
        return cls(json.dumps([rows, found.names], separators=(",", ":")).encode())

    @property
    def data(self) -> bytes:
        """The packed form."""
        return self._data


class Index:
    """What is known of the files of a repository; only what is new is fetched and parsed.

    Args:
        cache: keeps it between runs. Default: the user's.
    """

    def __init__(self, cache: Cache | None = None) -> None:
        self._cache = cache or Cache()
        self._known: dict[tuple[str, str], Indexed] = {}
        self._lock = threading.Lock()

    def files(self, source: Source) -> dict[str, Indexed]:
        """Return what is known of every file that the source has now, sorted by path."""
        with self._lock:
            blobs = _bounded(source.blobs())
            by_language: dict[Language, dict[str, None]] = defaultdict(dict)
            for path, blob in blobs.items():
                language = language_of(path)
                if language is not None:
                    by_language[language][blob] = None
            strangers: dict[tuple[str, str], Indexed] = {}
            for language, wanted in by_language.items():
                self._learn(source, language, list(wanted), strangers)
            found = {}
            for path in sorted(blobs):
                language = language_of(path)
                key = (language.version if language else "", blobs[path])
                entry = self._known.get(key) or strangers.get(key)
                if entry is not None:
                    found[path] = entry
            return found

    def _learn(
        self,
        source: Source,
        language: Language,
        blobs: Sequence[str],
        strangers: dict[tuple[str, str], Indexed],
    ) -> None:
        version = language.version
        unknown = [blob for blob in blobs if (version, blob) not in self._known]
        if not unknown:
            return
        for blob, data in self._cache.load(unknown, version).items():
            self._known[version, blob] = Indexed(data)
        fresh: dict[str, bytes] = {}
        left = [blob for blob in unknown if (version, blob) not in self._known]
        for blob, content in source.contents(left) if left else ():
            entry = Indexed.of(tags(language, content))
            # A sandbox can claim anything; what all runs share holds only what was checked.
            if blob_of(content, like=blob) != blob:
                strangers[version, blob] = entry
                continue
            self._known[version, blob] = entry
            fresh[blob] = entry.data
            if len(fresh) == _SAVED_AT_ONCE:
                self._cache.save(fresh, version)
                fresh = {}
        if fresh:
            self._cache.save(fresh, version)


def _bounded(blobs: Mapping[str, str]) -> dict[str, str]:
    # A path with a line feed in it could pass for lines of ours.
    plain = filter(str.isprintable, blobs)
    paths = sorted(plain, key=lambda path: (is_test_file(path), path))[:MOST_FILES]
    return {path: blobs[path] for path in paths}
