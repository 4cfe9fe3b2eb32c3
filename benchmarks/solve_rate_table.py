"""The tables of `solve_rate`: solved, verdicts, costs, and each contestant beside ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from reapair.agent.lab.evaluate.statistics import mcnemar, wilson

Row = dict[str, Any]


def print_tables(rows: Sequence[Row]) -> None:
    """Print all tables, for each half of the tasks and for both."""
    for half in ("tune", "held", "both"):
        chosen = [row for row in rows if half in ("both", row["half"])]
        if chosen:
            print(f"\n## {half}\n")
            _solved(chosen)
    print("\n## Beside guided\n")
    _pairs(rows)
    print("\n## Localisation\n")
    _localised(rows)


def _contestants(rows: Sequence[Row]) -> list[str]:
    return sorted({row["contestant"] for row in rows})


def _solved(rows: Sequence[Row]) -> None:
    print("| contestant | solved | visible | hidden | 95 % | verdicts | false proved | requests "
          "| prompt tokens | generated | seconds | tokens a solved task |")  # fmt: skip
    print("|" + "---|" * 12)
    for name in _contestants(rows):
        own = [row for row in rows if row["contestant"] == name]
        solved = [row for row in own if row.get("solved")]
        low, high = wilson(len(solved), len(own))
        verdicts = Counter(row.get("verdict", row["status"]) for row in own)
        false = sum(row.get("verdict") == "proved" and not row.get("solved") for row in own)
        tokens = _sum(own, "prompt_tokens") + _sum(own, "completion_tokens")
        cells = [
            name,
            _share(own, bool),
            _share(own, lambda row: row["view"] == "visible"),
            _share(own, lambda row: row["view"] == "hidden"),
            f"{100 * low:.0f}–{100 * high:.0f}",
            ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common()),
            str(false),
            *(f"{_sum(own, key) / len(own):.0f}" for key in ("requests", "prompt_tokens")),
            f"{_sum(own, 'completion_tokens') / len(own):.0f}",
            f"{_sum(own, 'seconds') / len(own):.0f}",
            f"{tokens / len(solved):.0f}" if solved else "–",
        ]
        print("| " + " | ".join(cells) + " |")


def _share(rows: Sequence[Row], wanted: Callable[[Row], bool]) -> str:
    chosen = [row for row in rows if wanted(row)]
    solved = sum(bool(row.get("solved")) for row in chosen)
    return f"{solved} of {len(chosen)}" if chosen else "–"


def _sum(rows: Sequence[Row], key: str) -> float:
    return float(sum(row.get(key) or 0 for row in rows))


def _pairs(rows: Sequence[Row]) -> None:
    """Print for each contestant which tasks only one of the two has solved."""
    by = {(r["contestant"], r["task"], r["view"]): bool(r.get("solved")) for r in rows}
    for name in _contestants(rows):
        both = [(by[name, t, v], by["guided", t, v]) for c, t, v in by
                if c == name and ("guided", t, v) in by]  # fmt: skip
        if name == "guided" or not both:
            continue
        only_other = sum(other and not ours for other, ours in both)
        only_ours = sum(ours and not other for other, ours in both)
        p = mcnemar(only_other, only_ours)
        print(f"- {name}: {len(both)} tasks, only it {only_other}, only guided {only_ours}, "
              f"McNemar exact p = {p:.3f}")  # fmt: skip


def _localised(rows: Sequence[Row]) -> None:
    own = [row for row in rows if row["contestant"] == "guided" and "suspect" in row]
    for view in ("visible", "hidden"):
        ranks = [row["suspect"] for row in own if row["view"] == view]
        if ranks:
            first = sum(rank == 1 for rank in ranks)
            found = sum(rank is not None for rank in ranks)
            print(f"- {view}: the faulty function first in {first}, among the suspects in {found} "
                  f"of {len(ranks)}")  # fmt: skip
