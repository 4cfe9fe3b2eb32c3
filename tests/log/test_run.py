"""The event log: append-only, whole after a crash, held by one process."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from reapair.agent.log.event_log import Run, RunError


def test_events_survive_reopening(tmp_path: Path) -> None:
    run = Run(tmp_path / "r", "r")
    run.append("request", 1, messages=[{"role": "user", "content": "naïve \ud800 \x00"}])
    run.append("progress", 1, text="not stored")
    run.close()
    events = Run(tmp_path / "r", "r").events
    assert [event.kind for event in events] == ["request"]
    assert events[0].data["messages"][0]["content"] == "naïve \ud800 \x00"


@pytest.mark.parametrize("torn", [b'{"v":1,"run"', b'{"v":1}\n', b"\xff\n", b"[]\n"])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    run = Run(tmp_path / "r", "r")
    run.append("request", 1, messages=[])
    run.close()
    log = tmp_path / "r" / "events.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole + torn)
    run = Run(tmp_path / "r", "r")
    assert len(run.events) == 1
    assert run.append("request", 2, messages=[]).seq == 2
    run.close()
    assert log.read_bytes().startswith(whole)
    assert len(Run(tmp_path / "r", "r").events) == 2


def test_a_run_has_one_owner_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    hold = (
        "import sys, pathlib; from reapair.agent.log.event_log import Run;"
        f"run = Run(pathlib.Path({str(tmp_path / 'r')!r}), 'r');"
        "print('held', flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout
    assert owner.stdout.readline() == "held\n"
    with pytest.raises(RunError, match="in use"):
        Run(tmp_path / "r", "r")
    owner.kill()
    owner.wait()
    Run(tmp_path / "r", "r").close()


def test_a_full_disk_is_named() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(RunError, match="cannot be used"):
        Run(full / "r", "r")


def test_the_directory_is_private(tmp_path: Path) -> None:
    run = Run.create(tmp_path)
    assert run.directory.stat().st_mode & 0o777 == 0o700
    run.close()


@pytest.mark.parametrize("before", range(0, 60, 7))
def test_a_text_is_shortened_without_a_part_of_a_secret(tmp_path: Path, before: int) -> None:
    secret = "tok-" + "abcdefghij" * 5
    with closing(Run(tmp_path / "run", "run")) as run:
        run.hide([secret])
        text = "x" * (1000 + 16_384 - before) + secret + "y" * 1_000_000
        shown = run.shortened(text, 1000)
        assert "tok" not in shown
        assert len(shown) < 1100
        assert run.shortened("a" + secret, 1000) == "a***"
        assert "tok" not in run.shortened(secret * 400 + text, 1000)
