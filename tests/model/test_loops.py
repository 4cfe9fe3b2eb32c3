"""Going round in circles: noticed in a text and from call to call, and never in honest work."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from reapair.agent.model import loops
from reapair.agent.model.loops import LoopGuard, RepetitionDetector, base_command


def feed(text: str, size: int = 5) -> str:
    detector = RepetitionDetector()
    for start in range(0, len(text), size):
        if found := detector.feed(text[start : start + size]):
            return found
    return ""


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("length", [20, 33, 111, 200])
def test_a_repeated_pattern_is_found(length: int, size: int) -> None:
    pattern = ("I read the file once more, and then again. " * 9)[: length - 1] + "#"
    found = feed("First I looked elsewhere. " + pattern * (9 + 400 // length), size)
    assert len(found) == length
    assert sorted(found) == sorted(pattern)


@pytest.mark.parametrize("text", ["!" * 2_500, "ha " * 900, "\n" * 2_500])
def test_a_short_pattern_without_end_is_found(text: str) -> None:
    assert feed(text)


@pytest.mark.parametrize(
    "text",
    [
        "-" * 900,
        " " * 900,
        "The same sentence seven times over, no more. " * 7 + "x" * 10,
        "".join(f"test_{n} ... ok, it took {n * n} ms\n" for n in range(200)),
        Path(loops.__file__).read_text("utf-8") * 5,
    ],
)
def test_honest_text_is_left_alone(text: str) -> None:
    assert feed(text, 50) == ""


@pytest.mark.parametrize("text", ["a" * 19 + "b", "ab" * 10, "x" * 200])
def test_the_time_is_linear(text: str) -> None:
    detector = RepetitionDetector()
    began = time.process_time()
    for start in range(0, 1_000_000, 5):
        detector.feed((text * 2)[start % len(text) :][:5])
    assert time.process_time() - began < 6


def test_the_third_same_result_is_warned_of() -> None:
    guard = LoopGuard()
    call = ("read", {"path": "a.py"}, "1\tx = 1")
    assert [bool(guard.note(*call)) for _ in range(6)] == [False, False, True, True, True, True]
    assert guard.exhausted
    guard.note("read", {"path": "b.py"}, "1\ty")
    assert not guard.exhausted


def test_the_same_command_with_other_words_is_warned_of() -> None:
    guard = LoopGuard()
    notes = [
        guard.note("bash", {"command": f"cd /testbed && grep -n word{n} ."}, f"{n}")
        for n in range(6)
    ]
    assert [bool(note) for note in notes] == [False] * 5 + [True]
    assert "bash grep was called 6 times" in (notes[5] or "")


def test_looking_again_after_an_edit_is_work() -> None:
    guard = LoopGuard()
    for number in range(20):
        assert guard.note("run_tests", {"selector": "all"}, f"{number} failed") is None
        assert guard.note("edit", {"path": "a.py", "old_str": f"{number}"}, "done") is None


def test_one_file_in_pieces_is_warned_of_earlier() -> None:
    guard = LoopGuard()
    notes = [guard.note("read", {"path": "a.py", "start_line": n}, f"{n}") for n in range(8)]
    assert [bool(note) for note in notes] == [False] * 3 + [True, False, True, False, True]


@pytest.mark.parametrize(
    ("name", "arguments", "base"),
    [
        ("bash", {"command": "cd x && FOO=1 python -m pytest -q | tail"}, "bash python"),
        ("bash", {"command": ""}, "bash"),
        ("bash", {}, "bash"),
        ("bash", {"command": "cd x"}, "bash cd"),
        ("bash", {"command": "\n\nls;ls"}, "bash ls"),
        ("read", {"path": "a"}, "read a"),
        ("search", {"pattern": "x"}, "search"),
    ],
)
def test_what_a_call_does(name: str, arguments: dict[str, str], base: str) -> None:
    assert base_command(name, arguments) == base


def test_counting_starts_anew_after_the_loop_was_cut() -> None:
    guard = LoopGuard()
    for _ in range(6):
        guard.note("search", {"pattern": "x"}, "nothing")
    guard.forget()
    assert not guard.exhausted
    assert guard.note("search", {"pattern": "x"}, "nothing") is None


def test_a_piece_of_any_size_takes_little_time() -> None:
    text = "".join(map(str, range(2_000_000)))
    begun = time.monotonic()
    assert not RepetitionDetector().feed(text)
    assert RepetitionDetector().feed(text + "round and round in circles " * 60)
    assert time.monotonic() - begun < 5
