"""What people see of a run on a terminal, in a pipe and as JSON lines."""

from reapair.agent.surfaces.console.lines import Screen, print_json
from reapair.agent.surfaces.console.live import LiveScreen, screen_for, show_run
from reapair.agent.surfaces.console.tables import show_checks, show_runs
from reapair.agent.words.terminal_safe import clean, one_line

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
