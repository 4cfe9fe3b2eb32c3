"""Which instances of a set are run, and in which order; they lie on disk, however many they are."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from tempfile import TemporaryFile
from typing import IO

from reapair.agent.lab.evaluate.instances import Instance, InstanceError


class Selection:
    """The selected instances: read and checked once, kept in a temporary file, handed out by one.

    Args:
        instances: the whole set.
        ids: ids or globs, one of which must fit; none takes all.
        part: `start:stop` or `start:stop:step` of what the globs leave, after shuffling.
        seed: shuffles them; None keeps the order.

    Raises InstanceError for a part that can't be understood, and for ids that come twice.
    """

    def __init__(
        self,
        instances: Iterable[Instance],
        ids: Sequence[str] = (),
        part: str = "",
        seed: int | None = None,
    ) -> None:
        self.ids: list[str] = []
        self._file: IO[bytes] = TemporaryFile()  # noqa: SIM115 - lives as long as this object
        places = []
        seen: set[str] = set()
        for instance in instances:
            if ids and not any(fnmatchcase(instance.id, pattern) for pattern in ids):
                continue
            if instance.id in seen:
                raise InstanceError(f"There are two instances with the id {instance.id}.")
            seen.add(instance.id)
            places.append((self._file.tell(), instance.id))
            self._file.write(instance.model_dump_json().encode() + b"\n")
        if seed is not None:
            random.Random(seed).shuffle(places)  # noqa: S311
        chosen = list(islice(places, *bounds(part)))
        self._places = [place for place, _ in chosen]
        self.ids = [name for _, name in chosen]

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Instance]:
        for place in self._places:
            self._file.seek(place)
            yield Instance.model_validate_json(self._file.readline())


def bounds(part: str) -> list[int | None]:
    """Return what `islice` takes for `start:stop:step`. Raises InstanceError."""
    if not part:
        return [None]
    words = part.split(":")
    try:
        found = [int(word) if word else None for word in words]
    except ValueError:
        found = []
    bad = not 2 <= len(found) <= 3 or any(bound is not None and bound < 0 for bound in found)
    if bad or found[2:] == [0]:
        raise InstanceError(f"{part} is no part of a list. Write it like 0:100 or 10:50:2.")
    return found
