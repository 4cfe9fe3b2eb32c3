"""The ways in which small models spoil an edit, as functions from an edit to a spoilt one."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Case:
    """An edit as meant, and as given: `file` before, `wanted` after, lines from 1."""

    kind: str
    name: str
    file: str
    wanted: str
    old: str
    new: str
    first: int
    last: int


Fault = Callable[[Case, random.Random], Case | None]


def both(change: Callable[[str], str]) -> Fault:
    """Return a fault that spoils `old` and `new` alike."""
    return lambda case, _: replace(case, old=change(case.old), new=change(case.new))


def lines_of(change: Callable[[str], str]) -> Fault:
    """Return a fault that spoils every line that is not blank."""

    def spoil(text: str) -> str:
        return "\n".join(change(line) if line.strip() else line for line in text.split("\n"))

    return both(spoil)


def in_one_line(change: Callable[[str, random.Random], str]) -> Fault:
    """Return a fault that spoils a line that does not change, in both texts."""

    def spoil(case: Case, rng: random.Random) -> Case | None:
        context = _context(case)
        if not context:
            return None
        line = rng.choice(context)
        return _with_context(case, line, change(line, rng))

    return spoil


def dedented(case: Case, _: random.Random) -> Case:
    """Both without the indentation that their lines have in common, as if from a code block."""
    margin = min(
        len(line) - len(line.lstrip())
        for line in f"{case.old}\n{case.new}".split("\n")
        if line.strip()
    )
    cut = re.compile(rf"^ {{{margin}}}", re.M)
    return replace(case, old=cut.sub("", case.old), new=cut.sub("", case.new))


def one_line_off(line: str, rng: random.Random) -> str:
    """One line that does not change is indented by a space too much or too little."""
    return f" {line}" if rng.random() < 0.5 or not line.startswith(" ") else line[1:]


def half_width(case: Case, _: random.Random) -> Case:
    """Two spaces where the file has four."""

    def narrow(text: str) -> str:
        return re.sub(r"^ +", lambda found: " " * (len(found[0]) // 2), text, flags=re.M)

    return replace(case, old=narrow(case.old), new=narrow(case.new))


def tabbed(text: str) -> str:
    """Indent by tabs instead of four spaces."""
    return re.sub(r"^(?: {4})+", lambda found: "\t" * (len(found[0]) // 4), text, flags=re.M)


def file_with_tabs(case: Case, _: random.Random) -> Case | None:
    """The file has tabs, the model writes spaces."""
    if re.search(r"^\t* +\S", tabbed(f"{case.old}\n{case.new}"), re.M):
        return None
    return replace(case, file=tabbed(case.file), wanted=tabbed(case.wanted))


def blank_lines_dropped(case: Case, _: random.Random) -> Case | None:
    """No blank line where the file has some."""
    if "\n\n" not in case.old:
        return None
    return both(lambda text: re.sub(r"\n{2,}", "\n", text))(case, _)


def blank_lines_added(line: str, _: random.Random) -> str:
    """A blank line too many after a line that does not change."""
    return f"{line}\n"


def trailing_blanks(line: str, _: random.Random) -> str:
    """White space at the end of a line that has none."""
    return f"{line}  "


def quotes_swapped(case: Case, _: random.Random) -> Case | None:
    """Double quotes where the file has single ones."""
    if "'" not in case.old or '"' in case.old + case.new or "'" in _changed(case):
        return None
    return both(lambda text: text.replace("'", '"'))(case, _)


def quotes_curly(case: Case, _: random.Random) -> Case | None:
    """Typographic quotes."""
    if "'" not in case.old:
        return None
    return both(lambda text: re.sub(r"'([^'\n]*)'", "\u2018\\1\u2019", text))(case, _)


def elided(case: Case, rng: random.Random) -> Case | None:
    """Lines in the middle that do not change are left out."""
    mark = rng.choice(["...", "# ...", "# ... existing code ...", "…"])
    olds, news = case.old.split("\n"), case.new.split("\n")
    head, tail = _common(olds, news)
    size = rng.choice((1, 2, 3))
    if head >= size + 2:
        cut = slice(1, 1 + size)
        olds[cut], news[cut] = [mark], [mark]
    elif tail >= size + 2:
        cut = slice(-1 - size, -1)
        olds[cut], news[cut] = [mark], [mark]
    else:
        return None
    return replace(case, old="\n".join(olds), new="\n".join(news))


def numbered(form: str) -> Fault:
    """Return a fault that pastes line numbers as `read` and others show them."""

    def paste(text: str, first: int) -> str:
        rows = enumerate(text.split("\n"), first)
        return "\n".join(form.format(number=number, line=line) for number, line in rows)

    return lambda case, _: replace(
        case, old=paste(case.old, case.first), new=paste(case.new, case.first)
    )


def numbered_old_only(case: Case, _: random.Random) -> Case:
    """Line numbers in old_str, none in new_str."""
    rows = enumerate(case.old.split("\n"), case.first)
    return replace(case, old="\n".join(f"{number:>5}\t{line}" for number, line in rows))


def crlf(case: Case, _: random.Random) -> Case:
    """The file has CRLF, the model writes line feeds."""
    return replace(
        case, file=case.file.replace("\n", "\r\n"), wanted=case.wanted.replace("\n", "\r\n")
    )


def stale(line: str, rng: random.Random) -> str:
    """A line that does not change reads differently in the file by now."""
    words = re.findall(r"\b[a-z_]{3,}\b", line)
    return line.replace(rng.choice(words), "previous") if words else line


def stale_missing(case: Case, rng: random.Random) -> Case | None:
    """The file has a line more than the model knows of."""
    context = _context(case)
    return _with_context(case, rng.choice(context[1:]), None) if len(context) > 2 else None


def misremembered(case: Case, rng: random.Random) -> Case | None:
    """The very line to be changed is not as the model has it."""
    changed = _changed(case)
    words = re.findall(r"\b[a-z_]{4,}\b", changed)
    if not words:
        return None
    word = rng.choice(words)
    return replace(case, old=case.old.replace(changed, changed.replace(word, f"{word}s")))


def chained(*faults: Fault) -> Fault:
    """Return several faults in one edit."""

    def spoil(case: Case, rng: random.Random) -> Case | None:
        current: Case | None = case
        for fault in faults:
            current = current and fault(current, rng)
        return current

    return spoil


FAULTS: dict[str, Fault] = {
    "dedented": dedented,
    "shifted right": lines_of(lambda line: f"    {line}"),
    "one space too many": lines_of(lambda line: f" {line}"),
    "flattened": lines_of(str.lstrip),
    "one line off": in_one_line(one_line_off),
    "half the width": half_width,
    "tabs for spaces": both(tabbed),
    "spaces for tabs": file_with_tabs,
    "trailing blanks": in_one_line(trailing_blanks),
    "blank lines dropped": blank_lines_dropped,
    "blank lines added": in_one_line(blank_lines_added),
    "quotes swapped": quotes_swapped,
    "quotes curly": quotes_curly,
    "ellipsis": elided,
    "numbers of read": numbered("{number:>5}\t{line}"),
    "numbers with colon": numbered("{number}: {line}"),
    "numbers with bar": numbered("{number:>4} | {line}"),
    "numbers in old only": numbered_old_only,
    "CRLF": crlf,
    "stale context": in_one_line(stale),
    "stale, a line more": stale_missing,
    "misremembered": misremembered,
    "dedented, no blanks": chained(blank_lines_dropped, dedented),
    "dedented, CRLF": chained(dedented, crlf),
    "dedented, numbers": chained(dedented, numbered("{number:>5}\t{line}")),
}


def _common(olds: Sequence[str], news: Sequence[str]) -> tuple[int, int]:
    """Return how many lines are the same at the beginning and at the end."""
    shortest = min(len(olds), len(news))
    head = next((i for i in range(shortest) if olds[i] != news[i]), shortest)
    tail = next(
        (i for i in range(shortest - head) if olds[-1 - i] != news[-1 - i]), shortest - head
    )
    return head, tail


def _context(case: Case) -> list[str]:
    """Return the lines that do not change and stand only once."""
    olds, news = case.old.split("\n"), case.new.split("\n")
    head, tail = _common(olds, news)
    around = olds[:head] + olds[len(olds) - tail :]
    return [line for line in around if line.strip() and olds.count(line) == news.count(line) == 1]


def _changed(case: Case) -> str:
    olds = case.old.split("\n")
    head, tail = _common(olds, case.new.split("\n"))
    return "\n".join(olds[head : len(olds) - tail])


def _with_context(case: Case, line: str, other: str | None) -> Case:
    """Spoil a line that does not change in both texts."""

    def spoil(text: str) -> str:
        rows = text.split("\n")
        place = rows.index(line)
        rows[place : place + 1] = [] if other is None else [other]
        return "\n".join(rows)

    return replace(case, old=spoil(case.old), new=spoil(case.new))
