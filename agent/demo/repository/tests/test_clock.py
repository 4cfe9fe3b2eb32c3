import pytest

from timesheet.clock import format_clock, format_length, parse_clock


@pytest.mark.parametrize(("text", "minutes"), [("0:00", 0), ("9:05", 545), ("23:59", 1439)])
def test_parse_clock(text, minutes):
    assert parse_clock(text) == minutes


@pytest.mark.parametrize("text", ["", "9", "24:00", "12:60", "noon"])
def test_parse_clock_refuses_other_text(text):
    with pytest.raises(ValueError, match="not a time of day"):
        parse_clock(text)


def test_format_clock():
    assert format_clock(545) == "09:05"


def test_format_length():
    assert format_length(465) == "7h 45m"
