from __future__ import annotations

import re

from hypothesis import assume, given
from hypothesis import strategies as st

from reapair.tools.edit import _with_line_endings
from reapair.tools.edit_matching.matching import (
    NoMatch,
    Replacement,
    SeveralMatches,
    find,
    nearest_lines,
    occurrences,
)
from reapair.tools.files import decode

words = st.sampled_from(
    ["a", "b = 1", "if a:", "    b", "    return c", "\td", "", " ", "x('q')", "..."]
)
texts = st.lists(words, min_size=1, max_size=12).map("\n".join)
anything = st.text(st.sampled_from("ab\n\t '\"(:1"), max_size=40)


def apply(text: str, change: Replacement) -> str:
    return text[: change.start] + change.new + text[change.end :]


def found(text: str, old: str, new: str) -> Replacement | None:
    try:
        return find(text, old, new)
    except (NoMatch, SeveralMatches):
        return None


@given(anything, anything, anything, anything)
def test_an_exact_edit_and_its_reverse_give_the_text_back(
    before: str, old: str, new: str, after: str
) -> None:
    text = before + old + after
    assume(old and new and len(occurrences(text, old)) == 1)
    changed = apply(text, find(text, old, new))
    assert changed == before + new + after
    assume(len(occurrences(changed, new)) == 1)
    assert apply(changed, find(changed, new, old)) == text


@given(texts, texts, texts)
def test_only_the_one_place_that_matches_changes(text: str, old: str, new: str) -> None:
    """Whatever is found: the text around it stays, and without white space it read like `old`."""
    assume(old)
    change = found(text, old, new)
    if change is None:
        return
    assert 0 <= change.start <= change.end <= len(text)
    assert len(occurrences(text, old)) <= 1
    if change.note or "..." in old:
        kept = re.sub(r"\s+", "", text[: change.start]), re.sub(r"\s+", "", text[change.end :])
        rest = re.sub(r"\s+", "", text)
        assert rest.startswith(kept[0])
        assert rest.endswith(kept[1])


@given(texts, st.integers(0, 11), st.integers(1, 5), st.sampled_from(["    ", "\t", "  "]))
def test_an_indented_copy_is_applied_where_it_came_from_or_not_at_all(
    text: str, first: int, size: int, margin: str
) -> None:
    """A block indented as a whole is unique apart from white space, or refused."""
    lines = text.split("\n")
    block = lines[first : first + size]
    assume(block and block[-1].strip())
    old = "\n".join(margin + line if line.strip() else line for line in block)
    marker = "MARK"
    change = found(text, old, f"{old}\n{margin}{marker}")
    if change is None or not change.note:
        return
    after = apply(text, change).split("\n")
    assert [line for line in after if marker not in line] == lines
    place = next(index for index, line in enumerate(after) if marker in line)
    keys = [line.strip() for line in after[:place] if line.strip()]
    wanted = [line.strip() for line in block if line.strip()]
    assert keys[-len(wanted) :] == wanted


@given(
    st.lists(st.tuples(st.text("ab ", max_size=4), st.sampled_from(["\n", "\r\n"])), max_size=8),
    st.text("ab", max_size=3),
    st.data(),
)
def test_line_endings_outside_of_the_change_stay(
    rows: list[tuple[str, str]], tail: str, data: st.DataObject
) -> None:
    original = "".join(line + end for line, end in rows) + tail
    plain = original.replace("\r\n", "\n")
    start = data.draw(st.integers(0, len(plain)))
    end = data.draw(st.integers(start, len(plain)))
    new = data.draw(st.text("xy\n", max_size=6))
    result = _with_line_endings(original, plain, Replacement(start, end, new))
    assert result.replace("\r\n", "\n") == plain[:start] + new + plain[end:]
    endings = re.findall(r"\r?\n", original)
    before, after = plain.count("\n", 0, start), plain.count("\n", end)
    got = re.findall(r"\r?\n", result)
    assert got[:before] == endings[:before]
    assert after == 0 or got[-after:] == endings[-after:]
    if len(set(endings)) == 1:
        assert set(got) <= set(endings)


@given(st.binary(max_size=60))
def test_decoded_files_give_the_same_bytes_back(data: bytes) -> None:
    file = decode(data)
    assert file is None or file.encode(file.text) == data


@given(texts, texts)
def test_the_nearest_lines_are_lines_of_the_text(text: str, wanted: str) -> None:
    lines = text.split("\n")
    near = nearest_lines(lines, wanted.split("\n"))
    assert near is None or 0 <= near.start <= near.stop <= len(lines)
