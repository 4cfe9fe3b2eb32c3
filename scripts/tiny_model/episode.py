"""What the tiny model is to learn: which call it makes in which situation of the demonstration.

Each situation's reasoning opens with a word of its own, so that the decision what to do next is
taken at one place, the first word after `<think>`. Where two situations opened alike, the trained
model mixed them up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Step:
    """One turn of the model. `after` is the situation that follows when the call goes well."""

    reasoning: str
    tool: str
    arguments: dict[str, Any]
    after: str


READ_CODE = {"path": "timesheet/entry.py"}
READ_TESTS = {"path": "tests/test_entry.py"}

LAST_TEST = 'assert parse_entry("2026-03-02 09:00-09:00 errands").minutes == 0'
NEW_TEST = (
    "\n\n\ndef test_shift_past_midnight():\n"
    '    assert parse_entry("2026-03-06 22:00-01:30 support").minutes == 210'
)
ADD_TEST = {
    "path": "tests/test_entry.py",
    "old_str": f"    {LAST_TEST}",
    "new_str": f"    {LAST_TEST}{NEW_TEST}",
}
FIX = {
    "path": "timesheet/entry.py",
    "old_str": '        """Length of the entry."""\n        return self.end - self.start',
    "new_str": (
        '        """Length of the entry; one that ends before it starts ends on the next day."""\n'
        "        return (self.end - self.start) % DAY"
    ),
}
SUMMARY = (
    "Entry.minutes was end - start, which is negative for a shift that goes past midnight. "
    "It is now taken modulo a day. Added test_shift_past_midnight, which failed before."
)

STEPS = {
    "search": Step(
        "Search for the code that computes the minutes of an entry.",
        "search",
        {"pattern": "def minutes"},
        "read",
    ),
    "read": Step(
        "Found in timesheet/entry.py. I read the whole module.", "read", READ_CODE, "tests"
    ),
    "tests": Step(
        "Minutes is end - start: negative when a shift ends on the next day. "
        "Before I change it I look at its tests.",
        "read",
        READ_TESTS,
        "reproduce",
    ),
    "reproduce": Step(
        "Next to these tests I add one that fails while the problem is there.",
        "edit",
        ADD_TEST,
        "see_it_fail",
    ),
    "see_it_fail": Step(
        "Added. It must fail now.", "run_tests", {"selector": "tests/test_entry.py"}, "fix"
    ),
    "fix": Step(
        "Reproduced. When the end is earlier than the start, the shift ended on the next day: "
        "the difference is to be taken modulo a day. Equal times still give 0.",
        "edit",
        FIX,
        "see_it_pass",
    ),
    "see_it_pass": Step("Changed. Now all tests.", "run_tests", {"selector": "all"}, "submit"),
    "submit": Step("Green. I submit for the review.", "submit", {"summary": SUMMARY}, "confirm"),
    "confirm": Step(
        "Reviewed: one line changed, one test added, nothing left behind. I confirm.",
        "submit",
        {"summary": SUMMARY},
        "end",
    ),
    # What to do when something goes wrong.
    "reread_tests": Step(
        "Rejected. I read that file again and copy the text exactly.",
        "read",
        READ_TESTS,
        "reproduce",
    ),
    "reread_code": Step(
        "Refused: the text is not as I wrote it. I read the module again.",
        "read",
        READ_CODE,
        "fix",
    ),
    "still_failing": Step(
        "Still failing. I look at the module once more.", "read", READ_CODE, "fix"
    ),
}

START = "search"
PLAIN = [
    "search", "read", "tests", "reproduce", "see_it_fail", "fix", "see_it_pass", "submit", "confirm"
]  # fmt: skip
"""The situations of an episode in which nothing goes wrong."""


def mistyped(arguments: dict[str, Any], kind: int) -> dict[str, Any]:
    """Return an edit as a model mistypes it: its old text is not in the file.

    `kind` 0 swaps the quotes, 1 takes names for others, 2 forgets a letter, 3 is another text
    altogether. (Other white space would do as well: the tool forgives that.)
    """
    old: str = arguments["old_str"]
    wrong = (
        old.replace('"', "'"),
        old.replace("self.", "this.").replace("assert ", "assert not "),
        old.replace("rands", "rand").replace("return", "retur"),
        "    return minutes_between(start, end)",
    )[kind]
    return {**arguments, "old_str": wrong}


MISTYPED_KINDS = 4

ISSUE_PARTS = [
    [
        "Night shifts are counted as negative time",
        "Entries that go past midnight have negative minutes",
        "Wrong minutes when a shift ends on the next day",
        "timesheet subtracts my night shift",
    ],
    [
        "Some of my on-call shifts go past midnight, and since then the totals are too small.",
        "I keep my hours in a time sheet. Work after midnight makes the total of a project shrink.",
        "The report for March shows less time than the report for February, although I only added "
        "entries.",
        "We use timesheet for the night watch of a small observatory.",
    ],
    [
        "The line is:\n\n    2026-03-06 22:00-01:30 support  database migration",
        "```python\nfrom timesheet.entry import parse_entry\n"
        'print(parse_entry("2026-03-06 22:00-01:30 support").minutes)  # -1230\n```',
        "For example `2026-03-01 23:30-00:15 support` counts as minus 1395 minutes.",
        "Take an entry from 20:00 to 04:00. It should be eight hours and is minus sixteen.",
    ],
    [
        "`parse_entry(...).minutes` gives -1230 for it.",
        "`Entry.minutes` is negative there.",
        "In a sheet that has only this line the report says `support  -21h 30m`.",
        "The property minutes of the entry is below zero.",
    ],
    [
        "I would expect 210 minutes: the shift ended on the next day.",
        "When the end is earlier in the day than the start, the shift ended on the next day.",
        "Please count such an entry up to the end on the following day.",
        "Expected: three and a half hours.",
    ],
    [
        "Shifts within one day are right and should stay as they are.",
        "An entry that starts and ends at the same minute should still be 0 minutes.",
        "Everything else works well.",
        "Entries during the day are fine.",
    ],
    [
        "timesheet 1.3.0, Python 3.11 on Linux.",
        "Seen with 1.3.0.",
        "Version 1.3.0, Debian 12, Python 3.12.",
        "I am on the current main branch.",
    ],
]
"""The issue in other words: one choice from each part, in this order or another."""

FILLER = [
    "I can send more examples if that helps.",
    "There is no workaround except splitting the entry at midnight by hand.",
    "A colleague sees the same on Windows.",
    "I searched the open issues and did not find this one.",
    "Thanks for the tool, we use it every day.",
    "It would be good to have this in the next release, invoices go out on Friday.",
    "I have not looked at the code.",
    "This worked in an older version, I believe, but I am not sure.",
]

RULES = [
    "Write short summaries: cause, change, tests.",
    "Prefer small functions and plain names.",
    "Paths are given relative to the root of the checkout.",
    "Look at the whole function before you change a line of it.",
    "A change without a test that shows it is not finished.",
    "Files that a build makes are not part of the change.",
    "Ask the tools, not your memory.",
    "When a command takes too long it is ended.",
    "Do not start anything in the background.",
    "Use the names that the code already has.",
]
"""Sentences to put in the place of sentences of the prompts, so that these may change a little."""
