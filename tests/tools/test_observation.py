from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reapair.tools.observation import clip, clip_line, listed, plain, stable

lines = st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])))


@given(lines, st.integers(200, 2_000), st.floats(0, 1))
def test_clip_keeps_whole_lines_from_both_ends_and_counts_the_rest(
    rows: list[str], limit: int, tail: float
) -> None:
    text = "\n".join(rows)
    shown = clip(text, limit, tail=tail).split("\n")
    whole = [clip_line(row) for row in text.split("\n")]
    if shown == whole:
        return
    assert len("\n".join(shown).encode()) <= limit
    (note,) = [
        i
        for i, row in enumerate(shown)
        if row.startswith("[... ") and row.endswith(" left out ...]")
    ]
    left_out = int(shown[note].split()[1])
    assert shown[:note] == whole[:note]
    assert shown[note + 1 :] == whole[note + left_out :]
    assert note + left_out + len(shown[note + 1 :]) == len(whole)


@given(lines)
def test_clip_leaves_short_texts_alone(rows: list[str]) -> None:
    text = "\n".join(row[:100] for row in rows)
    assert clip(text, 10_000_000) == text


def test_a_long_line_is_cut_between_characters() -> None:
    shown = clip_line("é" * 600)
    assert shown == "é" * 500 + " [... 100 more characters]"


@given(st.binary())
def test_plain_takes_any_bytes(output: bytes) -> None:
    shown = plain(output)
    shown.encode()
    assert not {"\x00", "\x1b", "\r"} & set(shown)


def test_plain_shows_what_a_terminal_would() -> None:
    output = b"\x1b[31mred\x1b[0m\r\n10%\r50%\r100%\nbad \xff byte\n\x1b]0;title\x07end"
    assert plain(output) == "red\n100%\nbad \ufffd byte\nend"


def test_stable_takes_out_what_differs_between_runs() -> None:
    text = (
        "==== 1 failed, 2 passed in 0.12s ====\n3 passed in 72.10s (0:01:12)\n"
        "Ran 3 tests in 0.001s\n"
        "<Thing object at 0x7f3a2b1c9d00>\n/tmp/pytest-of-me/pytest-17/test_a0/x\n"
        "/tmp/tmpab3_d9xz/y"
    )
    assert stable(text) == (
        "==== 1 failed, 2 passed ====\n3 passed\nRan 3 tests\n"
        "<Thing object at 0x...>\n/tmp/pytest/test_a0/x\n/tmp/tmp.../y"
    )
    assert stable("mask = 0xdeadbeef  # in 0.5s") == "mask = 0xdeadbeef  # in 0.5s"


def test_listed_tells_how_many_more() -> None:
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
