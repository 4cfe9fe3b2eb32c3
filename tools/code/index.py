"""The index: definitions and names of every source file, by content, parsed once."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from reapair.tools.code.blob_sources import UNREAD, Source, blob_of
from reapair.tools.code.cache import Cache
from reapair.tools.code.definitions import Definition
from reapair.tools.code.languages import Language, language_of
from reapair.tools.code.parsing import LARGEST, parse_all
from reapair.tools.files import is_test_file

MOST_FILES = 20_000
"""Source files taken of one repository: those that are no tests first, by path."""

TOO_HARD = b'[[],{},"too hard"]'
"""What is kept of a file that exceeds what parsing may take: nothing but that."""

_BATCH_FILES = 500
_BATCH_BYTES = 1024 * 1024
# Each costs seconds, so after some of them the rest is known by name only.
_PATIENCE = 4


class Indexed:
    """One file's definitions and names; unpacked when they are asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @cached_property
    def _unpacked(self) -> tuple[list[list[Any]], dict[str, int]]:
        definitions, names, *_ = json.loads(self._data)
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

    @property
    def too_hard(self) -> bool:
        """Whether the file could not be parsed within bounds."""
        return self._data == TOO_HARD


class Index:
    """What is known of the files of a repository; only what is new is fetched and parsed.

    Args:
        cache: keeps it between runs. Default: the user's.
    """

    def __init__(self, cache: Cache | None = None) -> None:
        self._cache = cache or Cache()
        self._known: dict[tuple[str, str], Indexed] = {}
        self._lock = threading.Lock()
        self._patience = _PATIENCE

    def files(self, source: Source) -> dict[str, Indexed]:
        """Return what is known of every file that the source has now, sorted by path."""
        with self._lock:
            blobs = _bounded(source.blobs())
            by_language: dict[Language, dict[str, None]] = defaultdict(dict)
            for path, blob in blobs.items():
                language = language_of(path)
                if language is not None and blob != UNREAD:
                    by_language[language][blob] = None
            strangers: dict[tuple[str, str], Indexed] = {}
            for language, wanted in by_language.items():
                self._learn(source, language, list(wanted), strangers)
            found = {}
            for path in sorted(blobs):
                language = language_of(path)
                key = (language.version if language else "", blobs[path])
                entry = self._known.get(key) or strangers.get(key)
                if blobs[path] == UNREAD:
                    entry = Indexed(TOO_HARD)
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
        left = [blob for blob in unknown if (version, blob) not in self._known]
        for part in _batches(source.contents(left) if left else ()):
            fresh: dict[str, bytes] = {}
            for (blob, content), data in zip(part, self._parsed(language, part), strict=True):
                # A sandbox can claim anything; what all runs share holds only what was checked.
                if blob_of(content, like=blob) != blob:
                    strangers[version, blob] = Indexed(data)
                    continue
                self._known[version, blob] = Indexed(data)
                if data != TOO_HARD:  # which may be this machine's fault
                    fresh[blob] = data
            self._cache.save(fresh, version)

    def _parsed(self, language: Language, part: Sequence[tuple[str, bytes]]) -> Iterator[bytes]:
        """Yield what is known of each text, packed; of some that are too hard nothing more is."""
        if self._patience <= 0:
            yield from [TOO_HARD] * len(part)
            return
        texts = [content if len(content) <= LARGEST else b"" for _, content in part]
        for data in parse_all("tags", texts, language=language.grammar):
            self._patience -= data is None
            yield data or TOO_HARD


def _batches(contents: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    """Yield texts as many at a time as are sent to the child at once."""
    batch: list[tuple[str, bytes]] = []
    size = 0
    for blob, content in contents:
        batch.append((blob, content))
        size += len(content)
        if size >= _BATCH_BYTES or len(batch) == _BATCH_FILES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _bounded(blobs: Mapping[str, str]) -> dict[str, str]:
    # A path with a line feed in it could pass for lines of ours.
    plain = filter(str.isprintable, blobs)
    paths = sorted(plain, key=lambda path: (is_test_file(path), path))[:MOST_FILES]
    return {path: blobs[path] for path in paths}
