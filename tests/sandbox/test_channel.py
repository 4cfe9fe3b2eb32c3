"""The fast channel gives what an exec of its own gives, only faster."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reapair.sandbox.base import Sandbox
from reapair.sandbox.containers.channel import _Section
from reapair.sandbox.containers.docker import DockerSandbox
from reapair.sandbox.containers.docker_engine import DockerEngine
from reapair.sandbox.output import HeadTail
from support.sandboxes import SMALL, Missing

MARK = b"0123456789abcdef"


@given(
    before=st.binary(max_size=30),
    output=st.binary(max_size=200),
    after=st.binary(max_size=10),
    sizes=st.lists(st.integers(1, 40), min_size=1),
)
def test_marks_are_found_however_the_stream_is_cut(
    before: bytes, output: bytes, after: bytes, sizes: list[int]
) -> None:
    kept = HeadTail(10_000)
    section = _Section(MARK, kept)
    stream = before + MARK + output + MARK + b"007000000003" + after
    position = 0
    while position < len(stream):
        size = sizes[position % len(sizes)]
        section.feed(stream[position : position + size])
        position += size
    assert section.ended
    assert (kept.value, section.trailer) == (output, b"007000000003")


def test_output_of_a_command_that_killed_its_channel_is_passed_on() -> None:
    kept = HeadTail(100)
    section = _Section(MARK, kept)
    section.feed(b"stray" + MARK + b"some output")
    section.flush()
    assert (kept.value, section.ended) == (b"some output", False)


@pytest.fixture(scope="module")
def engine() -> DockerEngine:
    return DockerEngine()


@pytest.fixture(scope="module")
def fast(engine: DockerEngine, missing: Missing) -> Iterator[Sandbox]:
    from conftest import require

    require("docker", not missing("docker"), missing("docker"))
    with DockerSandbox(engine.connect, engine.base_image(), "test", limits=SMALL) as sandbox:
        yield sandbox


SCRIPTS = [
    "echo out; echo err >&2; exit 7",
    "printf 'no line end'",
    "cat; echo $?",
    "kill -TERM $$",
    "kill -9 $$",
    "exec 1>&-; echo lost",
    "sleep 0.1 & wait; echo waited",
    "ls /proc/self/fd | wc -l",
    "ulimit -a | md5sum",
    "nice; umask; pwd; env | sort",
    "ps 2>/dev/null || true; trap",
    "python3 -c 'import os; print(os.isatty(0), os.getsid(0) == os.getpgid(0))'",
]


@pytest.mark.engine
def test_both_ways_give_the_same(fast: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = [fast.exec(script) for script in SCRIPTS]
    with monkeypatch.context() as patch:
        patch.setattr("reapair.sandbox.containers.docker.fits", lambda *_: False)
        slow = [fast.exec(script) for script in SCRIPTS]
    for script, one, other in zip(SCRIPTS, quick, slow, strict=True):
        assert one == other, script


@pytest.mark.engine
@pytest.mark.parametrize("script", ["setsid sleep 999 & exit 3", "sleep 999", "yes"])
def test_the_slow_way_cleans_up_too(
    fast: Sandbox, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr("reapair.sandbox.containers.docker.fits", lambda *_: False)
    result = fast.exec(script, timeout=2)
    assert result.timed_out or result.exit_code == 3
    assert fast.exec("cat /proc/[0-9]*/comm").text.count("sleep\n") == 0


@pytest.mark.engine
def test_many_commands_in_a_row_are_all_exact(fast: Sandbox) -> None:
    for number in range(200):
        result = fast.exec(f"sleep 5 & echo {number}", stdin=b"x" * (number % 3))
        assert (result.exit_code, result.stdout) == (0, b"%d\n" % number)


@pytest.mark.engine
def test_a_command_that_kills_the_waiting_shell_hurts_only_itself(fast: Sandbox) -> None:
    assert fast.exec("kill -9 -1; sleep 9").exit_code == 137
    assert fast.exec("kill -9 $PPID; sleep 9").exit_code == 137
    assert fast.exec("echo fine").text == "fine\n"


@pytest.mark.engine
def test_the_channel_is_faster_by_far(fast: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = statistics.median(_seconds(fast) for _ in range(15))
    monkeypatch.setattr("reapair.sandbox.containers.docker.fits", lambda *_: False)
    slow = statistics.median(_seconds(fast) for _ in range(5))
    assert quick * 3 < slow


def _seconds(sandbox: Sandbox) -> float:
    begin = time.perf_counter()
    assert sandbox.exec(["true"]).ok
    return time.perf_counter() - begin
