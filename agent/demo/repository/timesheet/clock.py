"""Times of day and lengths of time, both in whole minutes."""

import re

DAY = 24 * 60
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def parse_clock(text: str) -> int:
    """Return the minutes from midnight to a time such as 9:05 or 17:30."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a time of day: {text!r}")
    return int(match[1]) * 60 + int(match[2])


def format_clock(minutes: int) -> str:
    """Write minutes from midnight as HH:MM."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def format_length(minutes: int) -> str:
    """Write a length of time as hours and minutes, such as 7h 45m."""
    hours, rest = divmod(minutes, 60)
    return f"{hours}h {rest:02d}m"
