"""What every sandbox promises, whichever engine it comes from."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from reapair.sandbox.base import OUTPUT_LIMIT, Sandbox, SandboxError
from support.sandboxes import Make

pytestmark = pytest.mark.engine


def test_a_script_tells_its_exit_code_and_both_streams(box: Sandbox) -> None:
    result = box.exec("echo out; echo err >&2; exit 7")
    assert (result.exit_code, result.stdout, result.stderr) == (7, b"out\n", b"err\n")
    assert not any((result.timed_out, result.oom, result.died, result.dropped))


def test_an_argument_list_is_not_touched_by_a_shell(box: Sandbox) -> None:
    result = box.exec(["printf", "%s|", "a b", "$HOME", "*", "'", "é", "-n", ""])
    assert result.stdout.decode() == "a b|$HOME|*|'|é|-n||"


def test_commands_start_anew_in_the_workspace(box: Sandbox) -> None:
    box.exec("cd /; export LEFT=over; umask 000")
    assert box.exec('pwd; echo "${LEFT-gone}"').text == "/testbed\ngone\n"


def test_files_in_workspace_home_and_tmp_persist(box: Sandbox) -> None:
    box.exec("for place in /testbed ~ /tmp; do echo kept > $place/persists; done")
    assert box.exec("cat /testbed/persists ~/persists /tmp/persists").text == "kept\n" * 3


def test_a_missing_program_is_exit_code_127(box: Sandbox) -> None:
    assert box.exec("no-such-program-here").exit_code == 127


def test_variables_are_passed_exactly(box: Sandbox) -> None:
    value = "a b\t'\"$HOME\\n\né"
    assert box.exec('printf %s "$VALUE"', env={"VALUE": value}).stdout.decode() == value


@pytest.mark.parametrize("size", [0, 1, 5_000, 300_000])
def test_standard_input_arrives_whole(box: Sandbox, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    result = box.exec(["cat"], stdin=data[:size], output_limit=2**20)
    assert result.stdout == data[:size]


def test_50_megabytes_of_input(box: Sandbox) -> None:
    assert box.exec("wc -c", stdin=b"x" * 50_000_000).text.strip() == "50000000"


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_input_that_nobody_reads_does_no_harm(box: Sandbox, size: int) -> None:
    assert box.exec("exit 4", stdin=b"x" * size).exit_code == 4
    assert box.exec("echo fine").text == "fine\n"


@pytest.mark.parametrize(
    "path",
    [
        "plain.txt",
        "with space/and 'quotes'",
        "-leading-dash",
        "new\nline",
        "$(touch pwned)",
        "ünï",
        "a\\b",
    ],
)
def test_write_and_read_back(box: Sandbox, path: str) -> None:
    data = b"\x00\xff\r\n'\\0$x`" + path.encode()
    box.write(path, data)
    assert box.read(path) == data
    assert box.read(f"/testbed/{path}") == data
    assert not box.exec("ls | grep -x pwned").ok


def test_write_keeps_or_sets_the_mode(box: Sandbox) -> None:
    box.write("tool", b"#!/bin/sh\necho ran\n", executable=True)
    box.write("tool", b"#!/bin/sh\necho again\n")
    assert box.exec("./tool").text == "again\n"
    box.write("tool", b"", executable=False)
    assert box.exec("[ -x tool ]").exit_code == 1


def test_reading_what_is_no_file(box: Sandbox) -> None:
    box.exec("mkdir -p folder; mkfifo -m 600 pipe || true")
    with pytest.raises(FileNotFoundError):
        box.read("missing")
    with pytest.raises(IsADirectoryError):
        box.read("folder")
    with pytest.raises(OSError, match="pipe"):
        box.read("pipe")
    with pytest.raises(OSError, match="folder"):
        box.write("folder", b"")


def test_a_command_that_cannot_exist_is_refused_in_words(box: Sandbox) -> None:
    assert box.exec("echo \0").exit_code == 126
    too_long = box.exec("true " + "x" * 200_000)
    assert (too_long.exit_code, b"too long" in too_long.stderr) == (126, True)


def test_output_keeps_head_and_tail_and_counts_the_rest(box: Sandbox) -> None:
    result = box.exec("echo HEAD; yes | head -c 3000000; echo TAIL; echo E >&2")
    assert result.stdout.startswith(b"HEAD\n")
    assert result.stdout.endswith(b"TAIL\n")
    assert len(result.stdout) < OUTPUT_LIMIT + 100
    assert result.dropped == 3_000_010 - OUTPUT_LIMIT
    assert b"[%d bytes left out]" % result.dropped in result.stdout
    assert result.stderr == b"E\n"


def test_a_time_out_leaves_nothing_behind(box: Sandbox) -> None:
    result = box.exec(
        "echo begun; (trap '' TERM HUP; setsid sleep 4321 &) ; trap '' TERM INT; sleep 4322",
        timeout=1,
    )
    assert result.timed_out
    assert result.exit_code is None
    assert result.stdout == b"begun\n"
    assert _running(box, "432[12]") == 0


def test_an_endless_flood_is_ended(box: Sandbox) -> None:
    result = box.exec("yes", timeout=1)
    assert result.timed_out
    assert result.dropped > OUTPUT_LIMIT
    assert box.exec("echo fine").text == "fine\n"


def test_what_a_command_leaves_running_is_ended(box: Sandbox) -> None:
    start = time.monotonic()
    result = box.exec("setsid sleep 5321 & sleep 5322 & echo started")
    assert (result.exit_code, result.stdout) == (0, b"started\n")
    assert time.monotonic() - start < 20
    assert _running(box, "532[12]") == 0


def test_a_signal_to_the_own_group_ends_the_command_only(box: Sandbox) -> None:
    assert box.exec("kill -9 0; echo survived").exit_code == 137
    assert box.exec("echo fine").text == "fine\n"


def test_no_variable_of_the_host_is_seen(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-secret-of-the-host")
    with make() as sandbox:
        seen = sandbox.exec("env; cat /proc/self/environ /proc/$PPID/environ 2>/dev/null")
    assert b"a-secret-of-the-host" not in seen.stdout


def test_several_sandboxes_at_once(make: Make) -> None:
    def work(number: int) -> str:
        with make() as sandbox:
            sandbox.write("mine", str(number).encode())
            for _ in range(5):
                sandbox.exec("true")
            return sandbox.exec("cat mine").text

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(work, range(3))) == ["0", "1", "2"]


def test_closing_ends_a_command_that_another_thread_waits_for(make: Make) -> None:
    sandbox = make()
    sandbox.start()
    threading.Timer(1, sandbox.close).start()
    start = time.monotonic()
    with contextlib.suppress(SandboxError):
        assert not sandbox.exec("sleep 600", timeout=60).ok
    assert time.monotonic() - start < 30
    sandbox.close()


def test_a_closed_sandbox_says_so(make: Make) -> None:
    sandbox = make()
    with sandbox:
        pass
    with pytest.raises(SandboxError, match="not running"):
        sandbox.exec("true")


_FLOOD = """
import resource, sys
sys.path[:0] = {path}
from reapair.sandbox.engines import choose
engine = choose({kind!r})
with engine.sandbox(engine.prepare(b"", None, lambda _: None, print), "flood") as sandbox:
    sandbox.exec("head -c 1000000 /dev/zero")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = sandbox.exec("head -c {size} /dev/zero", timeout=120)
    assert result.dropped > {size} - 100_000, result
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("size", [100_000_000, pytest.param(1_000_000_000, marks=pytest.mark.long)])
def test_a_flood_of_output_costs_little_memory(box: Sandbox, size: int) -> None:
    script = _FLOOD.format(path=sys.path, kind=box.kind, size=size)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 20


def _running(box: Sandbox, seconds: str) -> int:
    """Count the `sleep` processes with this pattern as their argument, from inside."""
    listing = box.exec(
        "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done 2>/dev/null"
        f" | grep -c '^sleep {seconds}'"
    )
    return int(listing.text)
