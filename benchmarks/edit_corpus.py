"""How the `edit` tool takes faulty edits: right, refused with the real text shown, or wrong.

Edits of files of Python's standard library are spoilt in the ways in which small models spoil
them, and given to the tool. `python benchmarks/edit_corpus.py [SEED]` prints a table.
"""

from __future__ import annotations

import random
import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from edit_faults import FAULTS, Case

from reapair.sandbox.base import OUTPUT_LIMIT, ExecResult, Sandbox
from reapair.tools.base import ToolError
from reapair.tools.edit import Edit, EditParameters

EACH = 14
"""Edits for each kind of fault."""

Verdict = Literal["right", "hinted", "unhelpful", "wrong"]


class OneFile(Sandbox):
    """A sandbox that is no more than one file in memory: the tool needs nothing else here."""

    kind = "none"

    def __init__(self, data: bytes) -> None:
        self.data = data

    def start(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def exec(
        self,
        command: str | Sequence[str],
        *,
        timeout: float = 60.0,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> ExecResult:
        """There are no commands."""
        raise NotImplementedError

    def read(self, path: str, *, limit: int = 16 * 1024 * 1024) -> bytes:  # noqa: ARG002
        """Return the file."""
        return self.data[:limit]

    def write(self, path: str, data: bytes, *, executable: bool | None = None) -> None:  # noqa: ARG002
        """Replace the file."""
        self.data = data


def renamed(block: list[str], rng: random.Random) -> list[str] | None:
    """Another word in one line."""
    place = rng.randrange(1, len(block) - 1)
    words = re.findall(r"(?<![\w'\"])[a-z_]{3,}(?=\()", block[place])
    if not words:
        return None
    line = block[place].replace(rng.choice(words), "checked", 1)
    return [*block[:place], line, *block[place + 1 :]]


def inserted(block: list[str], rng: random.Random) -> list[str] | None:
    """A guard before a line in the middle."""
    place = rng.randrange(1, len(block) - 1)
    if not block[place].strip() or not block[place - 1].strip():
        return None
    margin = block[place][: len(block[place]) - len(block[place].lstrip())]
    guard = [f"{margin}if value is None:", f"{margin}    return None"]
    return [*block[:place], *guard, *block[place:]]


def removed(block: list[str], rng: random.Random) -> list[str] | None:
    """One line less."""
    place = rng.randrange(1, len(block) - 1)
    return [*block[:place], *block[place + 1 :]] if block[place].strip() else None


def rewritten(block: list[str], rng: random.Random) -> list[str] | None:
    """Two lines for one."""
    place = rng.randrange(1, len(block) - 1)
    line = block[place]
    margin = line[: len(line) - len(line.lstrip())]
    if not line.strip():
        return None
    return [
        *block[:place],
        f"{margin}value = compute(1)",
        f"{margin}use(value)",
        *block[place + 1 :],
    ]


CHANGES = (renamed, inserted, removed, rewritten)


def cases(seed: int) -> Iterator[Case]:
    """Yield EACH cases for every kind of fault, always the same for a seed."""
    rng = random.Random(seed)  # noqa: S311 - a corpus, no secret
    library = Path(sysconfig.get_paths()["stdlib"])
    files = [path for path in sorted(library.glob("*.py")) if 4_000 < path.stat().st_size < 60_000]
    for kind, fault in FAULTS.items():
        found = 0
        while found < EACH:
            path = rng.choice(files)
            case = _sound(path.name, path.read_text("utf-8"), rng)
            spoilt = case and fault(replace(case, kind=kind), rng)
            if spoilt and spoilt.old != spoilt.new and spoilt.old not in spoilt.file:
                found += 1
                yield spoilt


def _sound(name: str, text: str, rng: random.Random) -> Case | None:
    """Return an edit without a fault: some lines of a function body, one place changed."""
    lines = text.split("\n")
    size = rng.randrange(5, 13)
    first = rng.randrange(0, max(len(lines) - size, 1))
    block = lines[first : first + size]
    if len(block) < size or "\t" in "".join(block) or not (block[0].strip() and block[-1].strip()):
        return None
    new = rng.choice(CHANGES)(block, rng)
    before = "\n".join(block)
    if new is None or text.count(before) != 1:
        return None
    wanted = "\n".join([*lines[:first], *new, *lines[first + size :]])
    return Case("", name, text, wanted, before, "\n".join(new), first + 1, first + size)


def judge(case: Case) -> Verdict:
    """Give the case to the tool."""
    sandbox = OneFile(case.file.encode())
    arguments = EditParameters(path=case.name, old_str=case.old, new_str=case.new)
    try:
        Edit().run(arguments, sandbox)
    except ToolError as error:
        if sandbox.data != case.file.encode():
            return "wrong"
        shown = {int(number) for number in re.findall(r"^ *(\d+)\t", str(error), re.M)}
        listed = re.search(r"at lines ([\d, ]+)", str(error))
        if listed:
            shown |= {int(number) for number in listed.group(1).split(",")}
            return "hinted" if shown & {*range(case.first - 1, case.last + 1)} else "unhelpful"
        meant = set(range(case.first, case.last + 1))
        return "hinted" if 2 * len(shown & meant) >= len(meant) else "unhelpful"
    return "right" if sandbox.data == case.wanted.encode() else "wrong"


def main() -> int:
    """Print a table. Returns 1 when an edit went wrong or fewer than 70 % went right."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    table: dict[str, Counter[str]] = {}
    for case in cases(seed):
        table.setdefault(case.kind, Counter())[judge(case)] += 1
    columns = ("right", "hinted", "unhelpful", "wrong")
    total: Counter[str] = sum(table.values(), Counter())
    print(f"{'fault':<22}" + "".join(f"{name:>10}" for name in columns))
    for kind, counts in [*table.items(), ("all", total)]:
        print(f"{kind:<22}" + "".join(f"{counts[name]:>10}" for name in columns))
    share = total["right"] / total.total()
    print(f"applied right: {share:.1%}")
    return 1 if total["wrong"] or share < 0.7 else 0


if __name__ == "__main__":
    sys.exit(main())
