from datetime import date

import pytest

from timesheet.entry import Entry, parse_entry


def test_parse_entry():
    entry = parse_entry("2026-03-02 09:00-12:30 website  new header")
    assert entry == Entry(date(2026, 3, 2), 540, 750, "website", "new header")


def test_entry_without_note():
    assert str(parse_entry("2026-03-02 9:00-10:15 support")) == "2026-03-02 09:00-10:15 support"


@pytest.mark.parametrize("line", ["2026-03-02 09:00-10:00", "2026-03-02 09:00 support"])
def test_incomplete_line(line):
    with pytest.raises(ValueError, match="expected"):
        parse_entry(line)


def test_minutes():
    assert parse_entry("2026-03-02 09:00-12:30 website").minutes == 210


def test_empty_entry():
    assert parse_entry("2026-03-02 09:00-09:00 errands").minutes == 0
