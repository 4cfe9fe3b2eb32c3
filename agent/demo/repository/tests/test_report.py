from timesheet.report import read_entries, render, totals

SHEET = """
# first week of March
2026-03-02 09:00-12:30 website  header and footer
2026-03-02 13:15-17:00 support

2026-03-03 08:30-12:00 website
"""


def test_comments_and_empty_lines_are_skipped():
    assert len(read_entries(SHEET)) == 3


def test_totals_are_sorted_by_length():
    assert list(totals(read_entries(SHEET)).items()) == [("website", 420), ("support", 225)]


def test_render():
    assert render(read_entries(SHEET)) == (
        "website  7h 00m\nsupport  3h 45m\ntotal    10h 45m"
    )


def test_render_nothing():
    assert render([]) == "no entries"
