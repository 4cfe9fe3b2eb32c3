from __future__ import annotations

import pytest

from reapair.sandbox.base import Sandbox
from reapair.tools.base import Observation, Toolbox
from reapair.tools.bash import Bash
from reapair.tools.observation import OBSERVATION_LIMIT

pytestmark = pytest.mark.slow


def bash(sandbox: Sandbox, command: str, **more: object) -> Observation:
    return Toolbox([Bash()], lambda: sandbox).call("bash", {"command": command, **more})


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("echo hello", "hello\n[exit code 0]"),
        ("true", "(no output)\n[exit code 0]"),
        ("echo out; echo err >&2; echo out; exit 3", "out\nerr\nout\n[exit code 3]"),
        (
            "cd slug; ls",
            "__init__.py\ncore.py\n[exit code 0]\n"
            "[ended in slug; the next call starts in /testbed again]",
        ),
        ("cd slug && cd ..; pwd", "/testbed\n[exit code 0]"),
        ("printf 'no end'", "no end\n[exit code 0]"),
        ("printf 'bad \\xff\\n\\x1b[31mred\\x1b[0m\\n'", "bad \ufffd\nred\n[exit code 0]"),
        ("set -e\nfalse\necho never", "(no output)\n[exit code 1]"),
        ("exec echo replaced", "replaced\n[exit code 0]"),
        ("trap 'echo own' EXIT; true", "own\n[exit code 0]"),
        ("cat <<'END'\n$HOME `x`\nEND", "$HOME `x`\n[exit code 0]"),
        ("no-such-program", "bash: line 1: no-such-program: command not found\n[exit code 127]"),
        ("(exit 4) # comment", "(no output)\n[exit code 4]"),
        ("kill -9 $$", "(no output)\n[exit code 137]"),
        ("cat", "(no output)\n[exit code 0]"),
        ("echo a\r\necho b\r\n", "a\nb\n[exit code 0]"),
    ],
)
def test_output_and_exit_code(shared_slug: Sandbox, command: str, text: str) -> None:
    observation = bash(shared_slug, command)
    assert observation.text == text
    assert observation.ok == observation.text.count("[exit code 0]")


def test_a_syntax_error_is_told_by_the_line_of_the_command(shared_slug: Sandbox) -> None:
    text = bash(shared_slug, "echo a\nfor in x").text
    assert "line 2: syntax error" in text
    assert "trap" not in text


def test_much_output_keeps_head_and_tail(shared_slug: Sandbox) -> None:
    text = bash(shared_slug, "seq 1 5000").text
    assert len(text.encode()) <= OBSERVATION_LIMIT + 20
    assert text.startswith("1\n2\n")
    assert text.endswith("\n5000\n[exit code 0]")
    assert "lines left out ...]\n" in text
    flood = bash(shared_slug, "cd slug; seq 1 200000; exit 2").text
    assert "\n200000\n[exit code 2]\n[the output was too long to keep" in flood
    assert flood.endswith("[ended in slug; the next call starts in /testbed again]")


def test_a_command_out_of_time(shared_slug: Sandbox) -> None:
    observation = bash(shared_slug, "echo begun; sleep 60", timeout=1)
    assert not observation.ok
    assert observation.text == (
        "begun\n[ended after 1 seconds, with everything it had started]\n"
        "[if it needs more time, set timeout; servers and watchers cannot be used]"
    )
    assert observation.data == {"exit_code": None, "timed_out": True}


def test_hints(shared_slug: Sandbox) -> None:
    assert bash(shared_slug, "python3").text.endswith(
        "[nothing can be typed in here: give the command all it needs at once]"
    )
    unreachable = "echo 'Could not resolve host: example.org' >&2; exit 6"
    assert bash(shared_slug, unreachable).text.endswith(
        "[there is no network: work with what is installed]"
    )
    assert "[nothing" not in bash(shared_slug, "python3 -c 'print(1)'").text


def test_commands_that_are_none(shared_slug: Sandbox) -> None:
    assert bash(shared_slug, " \n").text == "command is empty."
    assert bash(shared_slug, "echo \0").text == "bash was not called: command holds a zero byte."
