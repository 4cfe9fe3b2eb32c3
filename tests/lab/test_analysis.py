"""What evaluations are said to say is what their records hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from reapair.agent.lab.evaluate.analysis import analyse, compare
from reapair.agent.lab.evaluate.grade import Grade, GroupGrade, Status
from reapair.agent.lab.evaluate.instances import InstanceError
from reapair.agent.lab.evaluate.records import Attempt, Record, place_of, write_record
from reapair.agent.lab.evaluate.statistics import bootstrap, mcnemar, pass_at, wilson
from reapair.agent.lab.evaluate.told import told
from reapair.agent.result import ExitReason, Totals, Verdict
from reapair.agent.surfaces.report.page import HERE, render


def attempt(number: int, status: Status, verdict: Verdict) -> Attempt:
    failing = GroupGrade(failure=["t"] if status == "unresolved" else [])
    grade = Grade(instance_id="x", status=status, fail_to_pass=failing)
    usage = Totals(requests=2, prompt_tokens=1000, cached_tokens=600, completion_tokens=50)
    return Attempt(
        number=number,
        exit_reason=ExitReason.SUBMITTED,
        verdict=verdict,
        grade=grade,
        steps=4,
        usage=usage,
    )


def write(out: Path, name: str, *attempts: Attempt, chosen: int = 1, failure: str = "") -> None:
    record = Record(
        instance_id=name, attempts=list(attempts), chosen=chosen, failure=failure, seconds=10
    )
    write_record(place_of(out, name), record)


PROVED, UNPROVED = Verdict.PROVED, Verdict.UNPROVED


def test_an_analysis_counts_what_is_there(tmp_path: Path) -> None:
    right, wrong = attempt(1, "resolved", PROVED), attempt(2, "unresolved", UNPROVED)
    write(tmp_path, "a", right, wrong)
    write(
        tmp_path, "b", attempt(1, "unresolved", UNPROVED), attempt(2, "resolved", PROVED), chosen=2
    )
    write(tmp_path, "c", attempt(1, "unresolved", PROVED), attempt(2, "unresolved", UNPROVED))
    write(tmp_path, "d", attempt(1, "resolved", UNPROVED), attempt(2, "resolved", UNPROVED))
    write(tmp_path, "e", failure="e__x: docker could not start a sandbox: 17")
    found = analyse(tmp_path)
    assert (found.graded, found.resolved, found.failed) == (4, 3, 1)
    assert found.verdicts == {"proved": (3, 2), "unproved": (1, 1)}
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(2 / 3)
    assert found.pass_at == {1: pytest.approx(0.5), 2: pytest.approx(0.75)}
    assert found.best == 0.75
    assert found.cached == pytest.approx(0.6)
    assert found.means["steps"] == 8
    assert [(group.why, group.count) for group in found.unresolved] == [("not mended", 1)]
    assert found.infrastructure[0].examples == ["e"]
    assert any("pass@2 75.0 %; best@2 with the chooser 75.0 %" in line for line in told(found))


def test_two_evaluations_are_compared_pair_by_pair(tmp_path: Path) -> None:
    for number in range(12):
        first, second = number in (0, 1), number in (0, *range(2, 11))
        for name, resolved in (("one", first), ("two", second)):
            status: Status = "resolved" if resolved else "unresolved"
            write(tmp_path / name, f"i{number}", attempt(1, status, UNPROVED))
    write(tmp_path / "two", "only-here", attempt(1, "resolved", PROVED))
    found = compare(tmp_path / "one", tmp_path / "two")
    assert (found.common, found.both, found.neither) == (12, 1, 1)
    assert (found.only_first, len(found.only_second)) == (["i1"], 9)
    assert found.p == pytest.approx(0.021484375)
    assert found.difference == pytest.approx(8 / 12)
    assert 0.2 < found.interval[0] < found.difference < found.interval[1] <= 1.0
    with pytest.raises(InstanceError, match="no instance in common"):
        compare(tmp_path / "one", tmp_path / "three")


def test_the_page_tells_it_all_and_escapes_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "<b onclick=alert(1)>"
    for out, status in ((first, "unresolved"), (second, "resolved")):
        write(out, "a", attempt(1, status, PROVED))  # type: ignore[arg-type]
        write(out, "b", attempt(1, "resolved", UNPROVED), attempt(2, "resolved", UNPROVED))
        write(out, "c", failure="<img src=x onerror=alert(2)>: no image")
    page = render(
        HERE / "evaluation.html",
        name=second.name,
        found=analyse(second),
        against=compare(first, second),
    )
    for part in ("2 of 2 resolved", "+50.0 points", "proved", "no image"):
        assert part in page
    assert "<b onclick" not in page
    assert "<img src" not in page


def test_statistics_agree_with_known_values() -> None:
    assert pass_at(1, 5, 2) == pytest.approx(0.4)
    assert pass_at(3, 5, 2) == pytest.approx(0.9)
    assert pass_at(4, 5, 2) == 1.0
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(10, 2) == pytest.approx(0.03857421875)
    assert mcnemar(3000, 2500) < 1e-9
    low, high = wilson(9, 10)
    assert (round(low, 4), round(high, 4)) == (0.5958, 0.9821)
    assert bootstrap([1] * 50) == (1.0, 1.0)
