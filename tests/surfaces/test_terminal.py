"""What a run looks like on a terminal, in a pipe, to a program, and when things go wrong."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from io import StringIO
from pathlib import Path

import pytest

from support.showcase import command, environment, said, server, showcase
from support.tasks import Task

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38|48)(?:;\d+)*m")


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return showcase(tmp_path / "repository")


def on_terminal(
    line: list[str], cwd: Path, environ: dict[str, str], *, columns: int = 100, stop_at: str = ""
) -> tuple[int, str]:
    """Run a command on a terminal of its own; return its exit code and all that it wrote."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        line, cwd=cwd, env=environ, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    written = b""
    while True:
        try:
            read = os.read(ours, 65_536)
        except OSError:
            break
        if not read:
            break
        written += read
        if stop_at and stop_at.encode() in written:
            process.send_signal(signal.SIGINT)
            stop_at = ""
    os.close(ours)
    return process.wait(timeout=60), written.decode("utf-8", "replace")


def in_pipe(task: Task, tmp_path: Path, *options: str, **variables: str) -> tuple[int, str, str]:
    with server() as scripted:
        done = subprocess.run(
            command(task, scripted.base_url, *options), cwd=task.repository, check=False,
            env=environment(tmp_path / "state", **variables), capture_output=True, timeout=240,
        )  # fmt: skip
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.slow
@pytest.mark.parametrize("columns", [100, 40])
def test_a_terminal_shows_what_is_done_now_and_is_left_as_it_was(
    task: Task, tmp_path: Path, columns: int
) -> None:
    plainly = {"NO_COLOR": "1"} if columns == 40 else {}
    with server(seconds=0.3) as scripted:
        code, written = on_terminal(
            command(task, scripted.base_url), task.repository,
            environment(tmp_path / "state", **plainly), columns=columns,
        )  # fmt: skip
    assert code == 0, written
    plain = _CODES.sub("", written)
    assert "waiting for the first word" in plain
    assert re.search(r"0:0\d · step \d of 75", plain)
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") > 0
    if plainly:
        assert not _COLOUR.search(written)
    else:
        assert "% reused" in plain
        assert "\x1b[32m+    return sum(values) / len(values)" in written
        assert "\x1b[31m-    return sum(values) / (len(values) - 1)" in written
        assert "\x1b[1;32mproved" in written
    steps = [line for line in plain.replace("\r", "\n").split("\n") if "  → " in line]
    assert len(steps) >= 9
    assert max(map(len, steps)) <= columns
    last = [line.split()[0] for line in plain.strip().splitlines() if line.strip()]
    assert {"look:", "apply:", "undo:"} <= set(last[-6:])


@pytest.mark.slow
def test_ctrl_c_leaves_the_terminal_as_it_was(task: Task, tmp_path: Path) -> None:
    with server(seconds=0.5) as scripted:
        code, written = on_terminal(
            command(task, scripted.base_url), task.repository, environment(tmp_path / "state"),
            stop_at="step 3 of",
        )  # fmt: skip
    assert code == 130
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") > 0
    assert "agent resume" in written
    assert "Traceback" not in written


@pytest.mark.slow
def test_attempts_side_by_side_keep_to_a_line_each(task: Task, tmp_path: Path) -> None:
    with server(seconds=0.2, attempts=3) as scripted:
        code, written = on_terminal(
            command(task, scripted.base_url, "--attempts", "3", "--no-early-stop"),
            task.repository, environment(tmp_path / "state"),
        )  # fmt: skip
    plain = _CODES.sub("", written)
    assert code == 0, plain
    assert all(f"[{number}] step " in plain for number in (1, 2, 3))
    assert "[1] proved, submitted, 9 steps" in plain
    assert "  → " not in plain


def test_a_pipe_gets_plain_lines_whatever_is_forced(task: Task, tmp_path: Path) -> None:
    code, written, errors = in_pipe(task, tmp_path, FORCE_COLOR="1", CI="1")
    assert (code, errors) == (0, "")
    assert not re.search(r"\x1b\[[0-9;?]*[A-HJKhl]|\r", written)
    assert "  4  bash python -c 'import nope'  → ✗ exit code 1: ModuleNotFoundError" in (
        _CODES.sub("", written)
    )


def test_quiet_and_verbose(task: Task, tmp_path: Path) -> None:
    _, verbose, _ = in_pipe(task, tmp_path, "-v", PYTHONIOENCODING="ascii")
    assert "The divisor is one too small" in verbose
    assert "ModuleNotFoundError: No module named 'nope'" in verbose
    assert re.search(r"9 +\d+ prompt, +\d+ reused", verbose)
    assert verbose.isascii()
    [run] = (tmp_path / "state/agent/runs").iterdir()
    # A finished run only gives its result again.
    done = subprocess.run(
        [sys.executable, "-P", "-m", "reapair", "resume", run.name, "-q"], cwd=task.repository,
        env=environment(tmp_path / "state"), capture_output=True, text=True, check=True,
    )  # fmt: skip
    quiet = done.stdout.splitlines()
    assert quiet[0].startswith("proved: ")
    assert quiet[-1].startswith("  undo:")
    assert len(quiet) <= 7


def test_json_is_all_that_a_program_gets(task: Task, tmp_path: Path) -> None:
    code, written, errors = in_pipe(task, tmp_path, "--json", "-v", FORCE_COLOR="1")
    assert (code, errors) == (0, "")
    kinds = [json.loads(line)["kind"] for line in written.splitlines()]
    assert (kinds[0], kinds[-1]) == ("run_started", "run_finished")
    assert {"delta", "response", "tool_result", "verification"} <= set(kinds)


def test_a_reader_that_goes_away_stops_the_run_without_a_word(task: Task, tmp_path: Path) -> None:
    with server(seconds=0.2) as scripted:
        process = subprocess.Popen(
            command(task, scripted.base_url, "--json"), cwd=task.repository,
            env=environment(tmp_path / "state"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 141
        assert process.stderr.read() == b""
        asked = len(scripted.chats)
    assert asked < 9


def test_what_is_not_ours_steers_no_terminal(task: Task, tmp_path: Path) -> None:
    nasty = "\x1b]0;owned\x07\x1b[2J\x9b2J\u202egnp\r\nproved: all is well"
    turns = [
        said("bash", nasty, command=f"printf '{nasty}'"),
        said("read", "x", path=nasty),
        said("edit", "x", path="calc.py", old_str="/ (len(values) - 1)", new_str=f"/ 2  # {nasty}"),
        said("submit", "x", summary=nasty),
        said("submit", "x", summary=nasty),
    ]
    with server() as scripted:
        scripted.turns = list(turns)
        task = Task(task.name, f"# {nasty}\n{nasty}", task.repository, [], [])
        done = subprocess.run(
            command(task, scripted.base_url, "-v"), cwd=task.repository, check=False,
            env=environment(tmp_path / "state"), capture_output=True, timeout=240,
        )  # fmt: skip
        whole, written = done.stdout.decode(), on_terminal(
            [sys.executable, "-P", "-m", "reapair", "runs"], task.repository,
            environment(tmp_path / "state", COLUMNS="40"), columns=40,
        )[1]  # fmt: skip
    assert "\x1b" not in whole
    assert not set("\x07\x9b\u202e\r") & set(whole)
    assert not [line for line in whole.splitlines() if line.startswith("proved: all")]
    assert "owned" in whole
    assert not set("\x07\x9b\u202e") & set(written)


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "damaged"], ["show", "damaged", "--tokens"], ["show", "damaged", "--json"],
        ["report", "damaged"], ["apply", "damaged"], ["resume", "damaged"],
        ["fork", "damaged", "--at", "1"], ["continue", "damaged", "more"],
        ["show", "empty"], ["report", "empty"], ["resume", "empty"], ["apply", "empty"],
        ["fork", "empty", "--at", "0"], ["show", "none-such"], ["solve", "\udcff bytes"],
        ["runs"], ["clean", "--older-than", "9999d"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_no_traceback_whatever_is_wrong(tmp_path: Path, arguments: list[str]) -> None:
    runs = tmp_path / "state/agent/runs"
    for name, log in (("damaged", b"{}\n{}\n"), ("empty", b"")):
        (runs / name).mkdir(parents=True)
        (runs / name / "events.jsonl").write_bytes(log)
        (runs / name / "patch.diff").write_bytes(b"x")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "reapair", *arguments], cwd=tmp_path, check=False,
        env=environment(tmp_path / "state"), capture_output=True, timeout=60,
    )  # fmt: skip
    words = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert "Traceback" not in words
    assert "Internal error" not in words
    assert len(done.stderr.splitlines()) <= 3, words
    assert done.returncode in ((0,) if arguments[0] in ("runs", "clean") else (0, 1, 2, 5)), words


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_runs(tmp_path: Path, shell: str) -> None:
    for name in ("1122-aaaaaa", "1122-bbbbbb"):
        (tmp_path / "state/agent/runs" / name).mkdir(parents=True)

    def agent(instruction: str, words: str) -> str:
        asked = {
            "COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")),
            "_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            "_AGENT_COMPLETE": f"{instruction}_{shell}",
        }  # fmt: skip
        return subprocess.run(
            [Path(sys.executable).with_name("agent")], cwd=tmp_path, check=False,
            env=environment(tmp_path / "state", **asked), capture_output=True, text=True,
        ).stdout  # fmt: skip

    assert "agent" in agent("source", "")
    assert "report" in agent("complete", "agent rep")
    assert {"1122-aaaaaa"} == set(re.findall(r"1122-\w+", agent("complete", "agent show 1122-a")))


def test_the_bar_tells_how_far_the_prompt_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    from reapair.agent.log.events import Event
    from reapair.agent.surfaces.console import LiveScreen

    monkeypatch.setenv("TERM", "xterm")  # the bar is not drawn on a dumb terminal
    file = StringIO()
    with LiveScreen(Console(file=file, force_terminal=True, width=60, height=30)) as screen:
        data = {"kind": "prefill", "text": "", "done": 600, "total": 2_000}
        screen.show(Event(1, "run", 0, 0.0, 1, 0, "delta", data))
        deadline = time.monotonic() + 20
        while " 30 %" not in file.getvalue() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert re.search("reading the prompt.*━━━━━━━╌+ 30 %", file.getvalue())


def test_the_live_view_costs_little(tmp_path: Path) -> None:
    from rich.console import Console

    from reapair.agent.log.events import Event
    from reapair.agent.surfaces.console import LiveScreen

    with (tmp_path / "screen").open("w") as file:
        console = Console(file=file, force_terminal=True, width=80, height=30)
        screen = LiveScreen(console)
        data = {"kind": "reasoning", "text": "word ", "done": 0, "total": 0}
        began = time.process_time()
        for _ in range(20_000):
            screen.show(Event(1, "run", 0, 0.0, 1, 0, "delta", data))
        took = time.process_time() - began
        screen.close()
    assert took < 1.5, "a token's event takes more than 75 µs"
