"""What people see of a run on a terminal, in a pipe and as JSON lines."""

from reapair.agent.console.lines import Screen, print_json
from reapair.agent.console.live import LiveScreen, screen_for, show_run
from reapair.agent.console.tables import show_checks, show_runs
from reapair.agent.console.text import clean, one_line

__all__ = [
    "LiveScreen",
    "Screen",
    "clean",
    "one_line",
    "print_json",
    "screen_for",
    "show_checks",
    "show_run",
    "show_runs",
]
