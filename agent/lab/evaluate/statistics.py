"""Statistics for evaluations, exact where that is cheap."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import comb, sqrt

RESAMPLES = 2_000
"""How often the bootstrap draws; enough for two digits of an interval's ends."""


def pass_at(k: int, attempts: int, passed: int) -> float:
    """Return the chance that at least one of `k` attempts drawn from `attempts` has passed."""
    if attempts - passed < k:
        return 1.0
    return 1.0 - comb(attempts - passed, k) / comb(attempts, k)


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate (Wilson's, which small counts do not break)."""
    if not total:
        return 0.0, 1.0
    z, rate = 1.96, hits / total
    middle = (rate + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * sqrt(rate * (1 - rate) / total + z * z / (4 * total**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided exact p-value for pairs that differ in one direction or the other."""
    differing = only_first + only_second
    if not differing:
        return 1.0
    tail = sum(comb(differing, k) for k in range(min(only_first, only_second) + 1))
    chance: float = 2 * tail / 2**differing
    return min(1.0, chance)


def bootstrap(differences: Sequence[int], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the mean of paired differences (-1, 0 or 1)."""
    if not differences:
        return 0.0, 0.0
    drawing = random.Random(seed)  # noqa: S311
    size = len(differences)
    counts = [differences.count(value) for value in (-1, 0, 1)]
    means = []
    for _ in range(RESAMPLES):
        drawn = drawing.choices((-1, 0, 1), counts, k=size)
        means.append(sum(drawn) / size)
    means.sort()
    return means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]
