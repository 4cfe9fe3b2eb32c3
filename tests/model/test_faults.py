"""Every fault through the whole graph: the run goes on, or ends by the right name.

The table itself: `python tests/support/faults.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from reapair.agent.model.types import Outcome
from reapair.agent.result import ExitReason
from support.faults import ALL, ENDING, LASTING, Case, play_ending, play_lasting

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("dialect", ALL)
def test_no_turn_is_lost(dialect: str, tmp_path: Path) -> None:
    rows, result, log = play_lasting(dialect, tmp_path)
    assert [str(row) for row in rows if not row.recovered] == []
    assert [row.case.name for row in rows] == [c.name for c in LASTING if dialect in c.dialects]
    assert result.exit_reason is ExitReason.SUBMITTED
    edits = [e for e in log if e.kind == "tool_intent" and e.data["name"] == "edit"]
    assert len(edits) == 1
    assert result.patch.count("\n+") == result.patch.count("\n-") == 2  # one line and the header
    salvaged = [e for e in log if e.kind == "response" and e.data["salvaged"]]
    assert len(salvaged) >= 14
    read = [call for e in salvaged for call in e.data["calls"]]
    assert {(call["name"], call["arguments"]["path"]) for call in read} == {("read", "calc.py")}


@pytest.mark.parametrize("case", ENDING, ids=lambda case: case.name)
def test_a_run_that_can_not_go_on_ends_by_name(case: Case, tmp_path: Path) -> None:
    row = play_ending(case, case.dialects[0], tmp_path)
    assert row.recovered, str(row)


@pytest.mark.long
@pytest.mark.parametrize("case", [c for c in ENDING if "vllm" in c.dialects], ids=lambda c: c.name)
def test_endings_on_vllm(case: Case, tmp_path: Path) -> None:
    row = play_ending(case, "vllm", tmp_path)
    assert row.recovered, str(row)


def test_every_outcome_is_played() -> None:
    played = {case.outcome for case in (*LASTING, *ENDING)}
    assert set(Outcome) - played == {Outcome.CANCELLED}
