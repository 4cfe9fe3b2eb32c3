"""Selections are exact, and memory does not grow with the set."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from reapair.agent.lab.evaluate.instance_selection import Selection
from reapair.agent.lab.evaluate.instances import Instance, InstanceError


def instances(number: int, size: int = 0) -> Iterator[Instance]:
    for n in range(number):
        yield Instance(
            id=f"owner__r{n % 2}.{n:05}", schema_name="swe-smith", problem_statement="x" * size
        )


def test_globs_slices_and_order() -> None:
    chosen = Selection(instances(10), ["owner__r1.*"], "1:4:2")
    assert chosen.ids == ["owner__r1.00003", "owner__r1.00007"]
    assert [instance.id for instance in chosen] == chosen.ids
    shuffled = Selection(instances(10), seed=3)
    assert shuffled.ids != Selection(instances(10)).ids
    assert shuffled.ids == Selection(instances(10), seed=3).ids
    assert [instance.id for instance in shuffled] == shuffled.ids
    assert sorted(shuffled.ids) == sorted(Selection(instances(10)).ids)
    assert len(Selection(instances(10), part=":3", seed=3)) == 3


@pytest.mark.parametrize("part", ["3", "a:b", "-1:2", "1:2:0", "1:2:3:4"])
def test_a_wrong_part_is_refused(part: str) -> None:
    with pytest.raises(InstanceError, match="0:100"):
        Selection(instances(2), part=part)


def test_an_id_that_comes_twice_is_refused() -> None:
    with pytest.raises(InstanceError, match=r"two instances with the id owner__r0\.00000"):
        Selection([*instances(1), *instances(1)])


def test_instances_are_not_held_in_memory() -> None:
    tracemalloc.start()
    try:
        chosen = Selection(instances(500, size=100_000), seed=1)
        assert sum(len(instance.problem_statement) for instance in chosen) == 50_000_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000
