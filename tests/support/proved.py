"""The smallest task whose solution is proved: one test fails before and passes after."""

from __future__ import annotations

from pathlib import Path

from support.tasks import Task, commit

SOURCE = '''"""Small sums."""


def mean(values):
    """Return the arithmetic mean."""
    return sum(values) / (len(values) - 1)
'''

TESTS = """from calc import mean


def test_mean():
    assert mean([2, 4]) == 3


def test_zeros():
    assert mean([0, 0]) == 0
"""


def proved_task(directory: Path) -> Task:
    """Write the task into a directory."""
    directory.mkdir(parents=True)
    (directory / "calc.py").write_text(SOURCE)
    (directory / "test_calc.py").write_text(TESTS)
    (directory / "conftest.py").write_text("")
    return Task(
        "proved",
        "mean() is too large",
        commit(directory),
        gold=[("calc.py", "/ (len(values) - 1)", "/ len(values)")],
        sabotage=[("calc.py", "/ (len(values) - 1)", "/ 1")],
    )


FAST = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest"
"""Runs the task's suite without what else is installed here for pytest: ten times as fast."""
