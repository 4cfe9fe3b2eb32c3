"""Texts that make a parser slow, large or crash: they cost seconds in a child, and nothing else."""

from __future__ import annotations

import ast
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from reapair.tools.code import parsing
from reapair.tools.code.blob_sources import TreeSource
from reapair.tools.code.cache import Cache
from reapair.tools.code.definitions import outline, uses
from reapair.tools.code.index import Index
from reapair.tools.code.languages import LANGUAGES, PYTHON
from reapair.tools.code.parsing import LARGEST, TooHardError, parse, parse_all
from reapair.tools.python_source import dump, parse_python, syntax_errors
from support.proved import FAST, proved_task
from support.repositories import git, make_repository
from support.scripted_server import ScriptedServer
from support.tasks import script, turn

K = 1000
HOSTILE = {
    "continuations": b"\\\n" * 200 * K,
    "continuations of Windows": b"\\\r\n" * 130 * K,
    "comparisons": b"a<" * 200 * K + b"b",
    "calls": b"a" + b"()" * 200 * K,
    "decorators": b"@a\n" * 150 * K,
    "branches": b"if 1:\n pass\n" + b"elif 1:\n pass\n" * 25 * K,
    "open ifs": b"if(" * 130 * K,
    "a large number": b"9" * 400 * K,
    "a list": b"[" + b"1," * 250 * K + b"]",
    "minuses": b"-" * 400 * K + b"1",
    "f-strings": b"f'{" * 50 * K,
    "indentation": b"".join(b" " * i + b"if 1:\n" for i in range(900)),
    "zeros": b"\0" * 400 * K,
    "no text": b"\xff" * 400 * K,
}
IN_CI = ("continuations", "minuses", "a large number")
GOOD = b"class A:\n    def f(self):\n        return 1\n"


LONG = [pytest.param(kind, tuple(LANGUAGES), marks=pytest.mark.long) for kind in HOSTILE]


@pytest.mark.parametrize(
    ("kind", "languages"), [*((kind, (PYTHON.grammar,)) for kind in IN_CI), *LONG]
)
def test_no_text_takes_long_or_much(kind: str, languages: tuple[str, ...]) -> None:
    text = HOSTILE[kind]
    for work in (
        lambda: parse("errors", text),
        lambda: parse("python", text),
        *(lambda name=name: parse("tags", text, language=name) for name in languages),
    ):
        begun = time.monotonic()
        with suppress(TooHardError):
            work()
        # Bounded in processor time; the clock also counts what else this machine does.
        assert time.monotonic() - begun < 60
        assert parse("errors", GOOD) == []
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 400 * K
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 400 * K


def test_one_bad_text_among_good_ones_costs_only_itself() -> None:
    texts = [GOOD, HOSTILE["continuations"], GOOD * 100] + [GOOD] * 2_000
    answers = list(parse_all("definitions", texts, language=PYTHON.grammar))
    assert [at for at, answer in enumerate(answers) if answer is None] == [1]
    assert len(answers) == len(texts)


def test_nothing_is_left_for_the_next_one_when_nobody_listens() -> None:
    answers = parse_all("definitions", [GOOD, b"", GOOD], language=PYTHON.grammar)
    next(answers)
    answers.close()
    assert parse("definitions", b"x = 1\n", language=PYTHON.grammar)[0][0] == "x"


def test_what_is_too_hard_is_no_error_of_the_text() -> None:
    text = HOSTILE["continuations"].decode()
    assert syntax_errors(text) == []
    assert outline(PYTHON, text.encode()) == []
    assert uses(PYTHON, text.encode(), "x") == ([], [])
    for hard in ("-" * 400 * K + "1", "x = 1\n" * LARGEST, "x = [" + "1," * 250 * K + "]"):
        with pytest.raises(SyntaxError):
            parse_python(hard)


@pytest.mark.parametrize(
    "text",
    [
        "if a:\n pass\n" + "elif a:\n pass\n" * 250,
        "x = " + "1 + " * 990 + "1",
        "x = a" + ".f()" * 500,
        "x = 0x" + "f" * 5_000,
        "x = '\\ud800'",
        "def f(a, /, b=1, *c, d: int = 2, **e) -> None: ...",
    ],
    ids=["branches", "sum", "calls", "number", "half a letter", "arguments"],
)
def test_a_tree_of_any_depth_can_be_compared(text: str) -> None:
    tree = parse_python(text)
    assert dump(tree) == dump(parse_python(f"# other words\n{text}\n"))
    assert dump(tree) != dump(parse_python(text.replace("a", "b") + "\ny = 1"))


def test_dump_tells_apart_what_ast_dump_does() -> None:
    sources = ["x", "'x'", "b'x'", "1", "1.0", "True", "[x]", "(x,)", "[[x]]", "[x, y]", "x()",
               "x(y)", "x(*y)", "x(y=1)", "')'", "x; y", "f'{x}'", "f'{x!r}'", "...", "None",
               "[[], []]", "[[[]]]", "'[' ']'", "x if y else z", "lambda: x"]  # fmt: skip
    trees = [ast.parse(source) for source in sources]
    assert len({dump(tree) for tree in trees}) == len({ast.dump(tree) for tree in trees})


@pytest.mark.parametrize("rounds", [5, pytest.param(200, marks=pytest.mark.long)])
def test_killing_the_child_changes_no_answer(rounds: int) -> None:
    texts = [GOOD.replace(b"A", b"A%d" % at) for at in range(300)]
    wanted = list(parse_all("tags", texts, language=PYTHON.grammar))
    assert None not in wanted
    equal = 0
    for turn_at in range(rounds):
        answers = []
        for answer in parse_all("tags", texts, language=PYTHON.grammar):
            answers.append(answer)
            process = parsing._CHILD._process
            if len(answers) == 1 + turn_at * 97 % 299 and process is not None:
                process.send_signal(signal.SIGKILL)
        equal += answers == wanted
    assert equal == rounds


@pytest.mark.parametrize("text", [b"x = 1\n", HOSTILE["continuations"]], ids=["idle", "busy"])
def test_the_child_does_not_outlive_the_harness(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(text)
    code = (
        "import sys, threading, time\n"
        "from reapair.tools.code import parsing\n"
        "parsing.parse('errors', b'x = 1')\n"
        "print(parsing._CHILD._process.pid, flush=True)\n"
        "parsing.parse('errors', open(sys.argv[1], 'rb').read())\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code, str(tmp_path / "text")],
        stdout=subprocess.PIPE,
        text=True,
    ) as harness:
        assert harness.stdout
        child = int(harness.stdout.readline())
        time.sleep(0.3)
        harness.kill()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{child}/cmdline").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.05)
    assert time.monotonic() < deadline


def test_the_index_knows_a_bad_file_by_its_name(tmp_path: Path) -> None:
    files = {"good.py": GOOD.decode(), "bad.py": HOSTILE["continuations"].decode()}
    repository = make_repository(tmp_path / "r", files | {"huge.py": "x = 1\n" * LARGEST})

    def run(*arguments: str, stdin: bytes = b"") -> bytes:
        return subprocess.run(
            ["git", *arguments], cwd=repository, input=stdin, capture_output=True, check=True
        ).stdout

    found = Index(Cache(tmp_path / "cache")).files(TreeSource(run, "HEAD"))
    assert {path: (file.too_hard, len(file.definitions)) for path, file in found.items()} == {
        "bad.py": (True, 0),
        "good.py": (False, 2),
        "huge.py": (True, 0),
    }


@pytest.mark.engine
@pytest.mark.slow
def test_a_run_over_the_worst_file_is_a_run_like_others(tmp_path: Path) -> None:
    task = proved_task(tmp_path / "repository")
    (task.repository / "bad.py").write_bytes(HOSTILE["continuations"])
    (task.repository / "huge.py").write_bytes(b"x = [1]\n" * 3_000_000)
    git(task.repository, "add", "-A")
    git(task.repository, "commit", "-q", "-m", "More")
    symbols = {"tool_calls": [{"name": "symbols", "arguments": {"name": "mean"}}]}
    worse = turn("edit", path="worse.py", old_str="", new_str=HOSTILE["continuations"].decode())
    turns = [turn("read", path="bad.py"), symbols, worse,
             turn("bash", command="rm worse.py"), *script(task, task.gold)]  # fmt: skip
    measure = tmp_path / "peak"
    with ScriptedServer(turns) as server:
        done = subprocess.run(
            [
                *(sys.executable, "-P", "-c", _PEAK, str(measure)),
                *("solve", task.issue, "--json", "--sandbox", "bubblewrap"),
                *("--base-url", server.base_url, "--test-command", FAST),
            ],
            cwd=task.repository,
            env=os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")},
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr
    assert "Known by name only, because parsing them takes too much: bad.py, huge.py" in done.stdout
    assert int(measure.read_text()) < 400 * K


_PEAK = """
import os, resource, sys
from reapair.agent.surfaces.cli import main
place = sys.argv.pop(1)
leave = os._exit
def measured(code):
    own, child = (resource.getrusage(who).ru_maxrss for who in (0, -1))
    with open(place, "w") as file:
        file.write(str(max(own, child)))
    leave(code)
os._exit = measured
main()
"""
