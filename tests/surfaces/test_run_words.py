"""The words at the end of a run: why it ended, what it cost, and commands that work as printed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from reapair.agent.result import Evidence, ExitReason, Result, Totals, Verdict
from reapair.agent.words import run_words as words
from support.repositories import git, make_repository, write


def result(repository: Path, verdict: Verdict = Verdict.EMPTY, **more: Any) -> Result:
    facts = {"run_id": "1128-abcdef", "directory": repository.parent, "repository": repository}
    reason = more.pop("exit_reason", ExitReason.SUBMITTED)
    return Result(exit_reason=reason, evidence=Evidence(verdict=verdict), **facts, **more)


@pytest.mark.parametrize("place", ["it is there", "below", "elsewhere", "with a ' quote"])
def test_commands_work_in_the_folder_where_they_are_printed(tmp_path: Path, place: str) -> None:
    repository = make_repository(tmp_path / ("re'po" if "quote" in place else "repo"))
    write(repository / "new.txt", "one\n")
    git(repository, "switch", "-qc", "agent/change")
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    git(repository, "add", "-A")
    git(repository, *identity, "commit", "-qm", "Change")
    git(repository, "switch", "-q", "-")
    (repository / "below").mkdir(exist_ok=True)
    here = {"it is there": repository, "below": repository / "below"}.get(place, tmp_path)
    made = result(repository, Verdict.PROVED, files=["new.txt"], branch="agent/change")
    told = dict(words.commands(made, here))
    assert told["look:"].startswith("git diff") is (here != tmp_path)
    for purpose in ("look:", "undo:"):
        done = subprocess.run(
            ["bash", "-c", told[purpose]], cwd=here, capture_output=True, text=True, check=True
        )
        assert ("+one" in done.stdout) is (purpose == "look:")
    assert b"agent/change" not in git(repository, "branch", "--list")


@pytest.mark.parametrize("reason", ExitReason)
def test_a_run_that_was_not_submitted_says_why_and_how_to_go_on(
    tmp_path: Path, reason: ExitReason
) -> None:
    made = result(tmp_path, exit_reason=reason, steps=1)
    said, further = words.why_ended(made), dict(words.commands(made, tmp_path))
    if reason in words.ENDS:
        assert said.startswith("ended after 1 step: ")
        assert further["go on:"].startswith("agent continue 1128-abcdef ")
    else:
        assert said == ""
    if reason in (ExitReason.CANCELLED, ExitReason.MODEL_ERROR):
        assert further["go on:"] == "agent resume 1128-abcdef"
    if reason is ExitReason.SUBMITTED:
        assert not further


def test_the_cost_is_short_unless_asked_for() -> None:
    used = Totals(
        requests=9, prompt_tokens=30_262, cached_tokens=25_044, completion_tokens=474,
        prefill_seconds=20.0, decode_seconds=42.5,
    )  # fmt: skip
    assert words.short_cost(used) == (
        "1:02 min of the model's time, 30.7k tokens, 82 % of the prompt came from the cache"
    )
    assert "30262 prompt tokens (82 % reused" in words.cost(used)
