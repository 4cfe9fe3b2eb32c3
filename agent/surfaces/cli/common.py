"""What the commands share: the app, options, settings, and the ways to leave."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from reapair.agent.log.events import Event
    from reapair.agent.loop.cancel import Cancel
    from reapair.agent.result import Result
    from reapair.agent.settings.settings import Settings
    from reapair.agent.surfaces.cli.options import View
    from reapair.agent.surfaces.console.lines import Level, Screen

INTERRUPTED = 130
READER_GONE = 141
"""Exit code, as of SIGPIPE, when the reader of the output has gone."""

NARROW = 70
"""Columns of a terminal below which the boxes of the help cut names off."""


def group(**more: Any) -> typer.Typer:
    """Return a group of commands whose help fits the terminal."""
    narrow = shutil.get_terminal_size().columns < NARROW
    return typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None if narrow else "rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        **more,
    )


app = group(
    help="Solve issues with a coding model of your own, and prove the patches.",
)


def _run_ids(beginning: str) -> list[str]:
    """Return the run ids that begin so, for the shell; wrong settings give none."""
    from reapair.agent.log.listing import ids
    from reapair.agent.settings.sources import SettingsError, load

    with suppress(SettingsError, OSError):
        return ids(beginning, load(None).settings.runs)
    return []


_secrets: list[str] = []


RunId = Annotated[
    str, typer.Argument(help="The run, or the beginning of its id.", autocompletion=_run_ids)
]


def settings_from(given: dict[str, Any], *, here: bool = True) -> Settings:
    """Return the settings with the flags over all other sources. Raises SettingsError.

    Not `here`: the command is not about the repository around, whose file is not read then.
    """
    from reapair.agent.log.redaction import secrets_of
    from reapair.agent.settings.sources import load

    settings = load(Path.cwd() if here else None, given).settings
    _secrets.extend(secrets_of(settings))
    return settings


def find_run(run_id: str) -> Path:
    """Return the directory of a run. Raises RunError where there is none, or more than one."""
    from reapair.agent.log.listing import find

    return find(run_id, settings_from({}, here=False).runs)


def run_and_show(
    job: Callable[[Callable[[Event], None], Cancel], Result],
    settings: Settings,
    view: View,
    *,
    any_verdict: bool = False,
) -> NoReturn:
    """Run the job, show it as it happens, exit with its code.

    With `any_verdict` a run that came to a verdict exits with 0, whichever it is.
    """
    from rich.console import Console

    from reapair.agent.loop.cancel import Cancel
    from reapair.agent.surfaces.console import print_json, screen_for

    level: Level = "quiet" if view.quiet else "verbose" if view.verbose else "normal"
    screen = screen_for(Console(), level)
    cancel = Cancel()
    stopped = _stop_on_signals(cancel, screen)
    show, is_gone = _while_someone_reads(print_json if view.as_json else screen.show, cancel)
    with screen:
        result = _do(job, show, cancel, stopped, screen)
    if is_gone():
        leave(READER_GONE)
    if not view.as_json:
        screen.result(result, short(result.directory))
    elif result.error:
        fail(_code(result, settings, stopped=signal.SIGTERM in stopped), result.error)
    code = _code(result, settings, stopped=signal.SIGTERM in stopped)
    leave(0 if any_verdict and code in _VERDICTS else code)


_VERDICTS = (9, 10, 11, 12)


def _do(
    job: Callable[[Callable[[Event], None], Cancel], Result],
    show: Callable[[Event], None],
    cancel: Cancel,
    stopped: list[int],
    screen: Screen,
) -> Result:
    """Return the job's result; exit with a message where there is none."""
    from reapair.agent.log.event_log import RunError

    try:
        return job(show, cancel)
    except RunError as error:  # There is no place to keep the run.
        screen.close()
        fail(1, str(error))
    except Exception:
        screen.close()
        raise
    except KeyboardInterrupt:
        screen.close()
        fail(143 if signal.SIGTERM in stopped else 130, "Stopped.")


def _while_someone_reads(
    show: Callable[[Event], None], cancel: Cancel
) -> tuple[Callable[[Event], None], Callable[[], bool]]:
    """Return a listener that stops the run once its output is closed, and a check for that.

    The run can be resumed.
    """
    gone: list[OSError] = []

    def listen(event: Event) -> None:
        if gone:
            return
        try:
            show(event)
        except BrokenPipeError as error:
            gone.append(error)
            cancel.request()

    return listen, lambda: bool(gone)


def _stop_on_signals(cancel: Cancel, screen: Screen) -> list[int]:
    """Make Ctrl-C and SIGTERM end the run after its running step; twice, or between steps, at once.

    Returns the list that received signals are added to.
    """
    came: list[int] = []

    def stop(number: int, _: object) -> None:
        came.append(number)
        if cancel.requested or not cancel.in_step:
            raise KeyboardInterrupt
        cancel.request()
        screen.stopping = True
        if not screen.live:
            # Not by print, which may be what was interrupted.
            os.write(2, b"Stopping when this step is done; the same again stops at once.\n")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return came


def _code(result: Result, settings: Settings, *, stopped: bool) -> int:
    from reapair.agent.result import ExitCode, ExitReason

    if result.exit_reason is ExitReason.CANCELLED:
        return ExitCode.TERMINATED if stopped else ExitCode.INTERRUPTED
    return result.exit_code(settings.accept)


def exit_code_of(error: Exception) -> int | None:
    """Return the exit code of an error that people can mend; None for all others."""
    from reapair.agent.handover.port import HandoverError
    from reapair.agent.lab.evaluate.instances import InstanceError
    from reapair.agent.lab.tasks.bugs import NoGeneratorError
    from reapair.agent.lab.tasks.make import TasksError
    from reapair.agent.log.event_log import RunError
    from reapair.agent.model.types import ModelError
    from reapair.agent.settings.sources import SettingsError
    from reapair.agent.solve import UsageError
    from reapair.sandbox import SandboxError

    usage = (UsageError, SettingsError, RunError, InstanceError, NoGeneratorError, TasksError)
    codes = {usage: 2, (ModelError,): 3, (SandboxError,): 4, (HandoverError,): 5}
    return next((code for kinds, code in codes.items() if isinstance(error, kinds)), None)


def short(directory: Path) -> str:
    """Return a path with ~ for the home directory."""
    try:
        return f"~/{directory.relative_to(Path.home())}"
    except ValueError:
        return str(directory)


def fail(code: int, message: str) -> NoReturn:
    """Print what went wrong and exit with the code."""
    from reapair.agent.words.terminal_safe import clean
    from reapair.sandbox.secrets import Redaction

    with suppress(OSError):
        typer.echo(clean(Redaction(_secrets).text(message)), err=True)
    leave(code)


def leave(code: int) -> NoReturn:
    """Exit without waiting for threads: everything worth keeping is on disk by now."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # Perhaps nobody reads it any more.
            stream.flush()
    os._exit(code)
