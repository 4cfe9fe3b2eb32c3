"""One line of a time sheet."""

from dataclasses import dataclass
from datetime import date

from timesheet.clock import DAY, format_clock, parse_clock


@dataclass(frozen=True)
class Entry:
    """Work on a project, from `start` to `end` in minutes from midnight."""

    day: date
    start: int
    end: int
    project: str
    note: str = ""

    def __post_init__(self):
        if not (0 <= self.start < DAY and 0 <= self.end < DAY):
            raise ValueError("start and end must be times of day")

    @property
    def minutes(self) -> int:
        """Length of the entry."""
        return self.end - self.start

    def __str__(self) -> str:
        times = f"{format_clock(self.start)}-{format_clock(self.end)}"
        return f"{self.day.isoformat()} {times} {self.project}  {self.note}".rstrip()


def parse_entry(line: str) -> Entry:
    """Read a line such as `2026-03-02 09:00-12:30 website  new header`."""
    words = line.split(maxsplit=3)
    if len(words) < 3:
        raise ValueError(f"expected DATE FROM-TO PROJECT: {line!r}")
    start, dash, end = words[1].partition("-")
    if not dash:
        raise ValueError(f"expected FROM-TO: {words[1]!r}")
    note = words[3].strip() if len(words) > 3 else ""
    return Entry(date.fromisoformat(words[0]), parse_clock(start), parse_clock(end), words[2], note)
