"""Totals over many entries."""

from collections import Counter

from timesheet.clock import format_length
from timesheet.entry import Entry, parse_entry


def read_entries(text: str) -> list[Entry]:
    """Read every line that is neither empty nor a comment."""
    lines = (line.strip() for line in text.splitlines())
    return [parse_entry(line) for line in lines if line and not line.startswith("#")]


def totals(entries: list[Entry]) -> dict[str, int]:
    """Return the minutes of each project, the longest first."""
    counter: Counter = Counter()
    for entry in entries:
        counter[entry.project] += entry.minutes
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def render(entries: list[Entry]) -> str:
    """Write the totals as a table with the sum in the last line."""
    if not entries:
        return "no entries"
    sums = totals(entries)
    width = max(len(name) for name in (*sums, "total"))
    rows = [f"{name:<{width}}  {format_length(minutes)}" for name, minutes in sums.items()]
    rows.append(f"{'total':<{width}}  {format_length(sum(sums.values()))}")
    return "\n".join(rows)
