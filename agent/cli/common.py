"""What the commands share: the app, options, settings, and the ways to leave."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from reapair.agent.cancel import Cancel
    from reapair.agent.events import Event
    from reapair.agent.result import Result
    from reapair.agent.settings import Settings

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Solve issues with a coding model of your own, and prove the patches.",
)

BaseUrl = Annotated[str | None, typer.Option(help="OpenAI-compatible endpoint.")]
ModelName = Annotated[str | None, typer.Option(help="Model name, where the server has several.")]
ApiKey = Annotated[str | None, typer.Option(help="Key for the model's server.")]
Project = Annotated[Path | None, typer.Option(help="Folder to work for in a monorepo.")]
Include = Annotated[
    list[str] | None, typer.Option(help="Ignored files to work with too; may be repeated.")
]
SetupCommand = Annotated[str | None, typer.Option(help="Installs what tests need; network.")]
TestCommand = Annotated[str | None, typer.Option(help="Runs the whole test suite.")]
Image = Annotated[str | None, typer.Option(help="Container image, or ./Dockerfile to build.")]
SandboxName = Annotated[str | None, typer.Option(help="docker, podman, bubblewrap, none or auto.")]
JsonEvents = Annotated[bool, typer.Option("--json", help="One JSON object per event.")]
Debug = Annotated[bool, typer.Option(help="Show tracebacks.")]


def _run_ids(beginning: str) -> list[str]:
    """Complete a run's id in the shell."""
    from reapair.agent.runs import ids

    return ids(beginning, settings_from({}).runs)


RunId = Annotated[
    str, typer.Argument(help="The run, or the beginning of its id.", autocompletion=_run_ids)
]


def settings_from(given: dict[str, Any]) -> Settings:
    """Put flags over all other places for settings; what is wrong is named with what is allowed."""
    from reapair.agent.config import SettingsError, load

    try:
        return load(Path.cwd(), given).settings
    except SettingsError as error:
        fail(2, str(error))


def find_run(run_id: str) -> Path:
    """Return the directory of a run; leave with words where there is none, or more than one."""
    from reapair.agent.run import RunError
    from reapair.agent.runs import find

    try:
        return find(run_id, settings_from({}).runs)
    except RunError as error:
        fail(2, str(error))


def run_and_show(
    job: Callable[[Callable[[Event], None], Cancel], Result], settings: Settings, *, as_json: bool
) -> NoReturn:
    """Do the job, show it as it happens, leave with its exit code."""
    from rich.console import Console

    from reapair.agent.cancel import Cancel
    from reapair.agent.console import Screen, print_json
    from reapair.agent.model.types import ModelError
    from reapair.agent.run import RunError
    from reapair.agent.solve import UsageError

    screen = Screen(Console())
    cancel = Cancel()
    stopped = _stop_on_signals(cancel)
    try:
        result = job(print_json if as_json else screen.show, cancel)
    except UsageError as error:
        fail(2, str(error))
    except ModelError as error:
        fail(3, str(error))
    except RunError as error:
        fail(1, str(error))
    except KeyboardInterrupt:
        fail(143 if signal.SIGTERM in stopped else 130, "Stopped.")
    if not as_json:
        screen.result(result, short(result.directory))
    elif result.error:
        typer.echo(result.error, err=True)
    leave(_code(result, settings, stopped=signal.SIGTERM in stopped))


def _stop_on_signals(cancel: Cancel) -> list[int]:
    """Let Ctrl-C and SIGTERM end the run after its running step; twice, or between steps, at once.

    Returns the list that the signals will be in.
    """
    came: list[int] = []

    def stop(number: int, _: object) -> None:
        came.append(number)
        if cancel.requested or not cancel.in_step:
            raise KeyboardInterrupt
        cancel.request()
        # Not by print, which may be what was interrupted.
        os.write(2, b"Stopping when this step is done; the same again stops at once.\n")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return came


def _code(result: Result, settings: Settings, *, stopped: bool) -> int:
    from reapair.agent.result import ExitCode, ExitReason

    if result.exit_reason is ExitReason.CANCELLED:
        return ExitCode.TERMINATED if stopped else ExitCode.INTERRUPTED
    return result.exit_code(accept_regression_free=settings.accept == "regression_free")


def short(directory: Path) -> str:
    """Write a path the way people do, with ~ for their home."""
    try:
        return f"~/{directory.relative_to(Path.home())}"
    except ValueError:
        return str(directory)


def fail(code: int, message: str) -> NoReturn:
    """Say what went wrong and leave with the exit code."""
    typer.echo(message, err=True)
    leave(code)


def leave(code: int) -> NoReturn:
    """Leave without waiting for threads: everything worth keeping is on disk by now."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
