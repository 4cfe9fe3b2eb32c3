"""Bounded output."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reapair.sandbox.output import HeadTail, by_line


@given(st.lists(st.binary(max_size=40)), st.integers(2, 60))
def test_head_and_tail_are_those_of_the_whole(pieces: list[bytes], limit: int) -> None:
    output = HeadTail(limit)
    for piece in pieces:
        output.feed(piece)
    whole, half = b"".join(pieces), limit // 2
    if len(whole) <= 2 * half:
        assert (output.value, output.dropped) == (whole, 0)
    else:
        assert output.dropped == len(whole) - 2 * half
        assert output.value.startswith(whole[:half])
        assert output.value.endswith(whole[-half:])
        assert b"[%d bytes left out]" % output.dropped in output.value


def test_a_listener_sees_everything_also_what_is_not_kept() -> None:
    seen = bytearray()
    output = HeadTail(4, seen.extend)
    for number in range(100):
        output.feed(b"%d," % number)
    assert seen == b"".join(b"%d," % number for number in range(100))


@given(st.lists(st.text(alphabet="aé\n\r", max_size=6)))
def test_lines_are_whole_however_they_come(texts: list[str]) -> None:
    lines: list[str] = []
    listen = by_line(lines.append)
    for byte in "".join(texts).encode():
        listen(bytes([byte]))
    assert lines == [line.rstrip("\r") for line in "".join(texts).split("\n")[:-1]]
