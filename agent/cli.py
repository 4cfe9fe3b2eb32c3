"""The `agent` command (also `reapair`). Thin: it reads arguments, calls, shows, exits."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from reapair.agent.events import Event
    from reapair.agent.result import Result
    from reapair.agent.settings import Settings

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Solve issues with a coding model of your own, and prove the patches.",
)

Text = str | None


def main() -> None:
    """Run the command line; called by the console scripts and `python -m reapair`."""
    try:
        app()
    except Exception as error:  # The last line of defence: no traceback for people.
        if "--debug" in sys.argv:
            raise
        _fail(
            1, f"Internal error: {type(error).__name__}: {error}. Run again with --debug for more."
        )


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"agent {installed('reapair')}")
        raise typer.Exit


@app.command()
def solve(
    issue: Annotated[str, typer.Argument(help="Text, a path to a file, or - for standard input.")],
    base_url: Annotated[Text, typer.Option(help="OpenAI-compatible endpoint.")] = None,
    model: Annotated[Text, typer.Option(help="Model name, where the server has several.")] = None,
    api_key: Annotated[Text, typer.Option(help="Key for --base-url.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Steps before the end.")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Minutes before the end.")] = None,
    project: Annotated[Path | None, typer.Option(help="Folder to work for in a monorepo.")] = None,
    setup_command: Annotated[Text, typer.Option(help="Installs what tests need; network.")] = None,
    test_command: Annotated[Text, typer.Option(help="Runs the whole test suite.")] = None,
    image: Annotated[Text, typer.Option(help="Container image to work in.")] = None,
    sandbox: Annotated[Text, typer.Option(help="docker, podman, bubblewrap, none or auto.")] = None,
    accept: Annotated[Text, typer.Option(help="Weakest verdict that exits 0.")] = None,
    patch: Annotated[Path | None, typer.Option(help="Write the patch here; no branch.")] = None,
    apply: Annotated[bool, typer.Option(help="Change the work tree; no branch.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per event.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,  # noqa: ARG001
) -> None:
    """Solve ISSUE in this git repository and hand over a proved patch.

    Exit codes: 0 proved, 1 internal error, 2 usage, 3 model, 4 sandbox, 5 hand-over failed,
    9 regression-free, 10 unproved, 11 refuted, 12 no change, 130/143 stopped.
    """
    given = {
        "base_url": base_url,
        "model": model,
        "api_key": api_key,
        "max_steps": max_steps,
        "max_minutes": max_minutes,
        "project": project.absolute() if project else None,
        "setup_command": setup_command,
        "test_command": test_command,
        "image": image,
        "sandbox": sandbox,
        "accept": accept,
        "patch": patch.absolute() if patch else None,
        "apply": apply or None,
    }
    text, settings = _read_issue(issue), _settings(given)

    from reapair.agent.solve import solve as solve_issue

    _show(
        lambda on_event: solve_issue(text, Path.cwd(), settings, on_event=on_event),
        settings,
        as_json=json,
    )


@app.command()
def demo(
    sandbox: Annotated[
        str, typer.Option(help="docker, podman, bubblewrap, none or auto.")
    ] = "auto",
    json: Annotated[bool, typer.Option("--json", help="One JSON object per event.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,  # noqa: ARG001
) -> None:
    """Fix a bug in a small repository with a tiny model; both ship with this program."""
    from reapair.agent.demo.play import INTRODUCTION, play

    if not json:
        typer.echo(INTRODUCTION)
    settings = _settings({"sandbox": sandbox})
    _show(lambda on_event: play(on_event, sandbox=settings.sandbox), settings, as_json=json)


@app.command()
def resume(
    run_id: Annotated[str, typer.Argument(help="The run, or the beginning of its id.")],
    api_key: Annotated[Text, typer.Option(help="Key for the run's server.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per event.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,  # noqa: ARG001
) -> None:
    """Go on with a run that was stopped, killed, or lost its server."""
    settings = _settings({"api_key": api_key})
    key = settings.api_key.get_secret_value() if settings.api_key else None

    def job(on_event: Callable[[Event], None]) -> Result:
        from reapair.agent.run import Run
        from reapair.agent.runs import find
        from reapair.agent.solve import resume as resume_run

        directory = find(run_id, settings.runs)
        return resume_run(Run(directory, directory.name), api_key=key, on_event=on_event)

    _show(job, settings, as_json=json)


@app.command()
def prepare(
    project: Annotated[Path | None, typer.Option(help="Folder to work for in a monorepo.")] = None,
    setup_command: Annotated[Text, typer.Option(help="Installs what tests need; network.")] = None,
    test_command: Annotated[Text, typer.Option(help="Runs the whole test suite.")] = None,
    image: Annotated[Text, typer.Option(help="Container image to work in.")] = None,
    sandbox: Annotated[Text, typer.Option(help="docker, podman, bubblewrap, none or auto.")] = None,
    shell: Annotated[bool, typer.Option("--shell", help="Then open a shell in it.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The result as one JSON object.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,  # noqa: ARG001
) -> None:
    """Make the environment of this repository and run its tests, without a model.

    Exit code 0 only if at least one test passed, 4 otherwise.
    """
    from reapair.agent.prepare import prepare_and_show
    from reapair.agent.solve import UsageError
    from reapair.sandbox import SandboxError

    given = {
        "project": project.absolute() if project else None,
        "setup_command": setup_command,
        "test_command": test_command,
        "image": image,
        "sandbox": sandbox,
    }
    try:
        ready = prepare_and_show(Path.cwd(), _settings(given), shell=shell, as_json=json)
    except UsageError as error:
        _fail(2, str(error))
    except SandboxError as error:
        _fail(4, str(error))
    except KeyboardInterrupt:
        _fail(130, "Stopped.")
    _exit(0 if ready else 4)


@app.command()
def doctor(
    base_url: Annotated[Text, typer.Option(help="OpenAI-compatible endpoint.")] = None,
    model: Annotated[Text, typer.Option(help="Model name, where the server has several.")] = None,
    api_key: Annotated[Text, typer.Option(help="Key for --base-url.")] = None,
    image: Annotated[Text, typer.Option(help="Container image to work in.")] = None,
    sandbox: Annotated[Text, typer.Option(help="docker, podman, bubblewrap, none or auto.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per check.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,  # noqa: ARG001
) -> None:
    """Check the model server and the sandbox; exit code 0 only if solve would work."""
    settings = _settings(
        {
            "base_url": base_url,
            "model": model,
            "api_key": api_key,
            "image": image,
            "sandbox": sandbox,
        }
    )

    from reapair.agent.console import show_checks
    from reapair.agent.doctor import diagnose

    _exit(0 if show_checks(diagnose(settings), as_json=json) else 3)


@app.command()
def runs(
    json: Annotated[bool, typer.Option("--json", help="One JSON object per run.")] = False,
) -> None:
    """List the runs that are kept, the latest first."""
    from reapair.agent.console import show_runs
    from reapair.agent.runs import summaries

    show_runs(summaries(_settings({}).runs), as_json=json)


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(help="The run, or the beginning of its id.")],
    tokens: Annotated[bool, typer.Option(help="What each request cost.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The events as they are stored.")] = False,
) -> None:
    """Show a run again: its steps, its diff, its verdict."""
    from reapair.agent.console import show_run

    directory = _find(run_id)
    show_run(directory, _short(directory), tokens=tokens, as_json=json)


@app.command()
def apply(
    run_id: Annotated[str, typer.Argument(help="The run, or the beginning of its id.")],
) -> None:
    """Put a run's change into the work tree it came from."""
    from reapair.agent.handover import apply_to_work_tree

    _change_by_run(run_id, apply_to_work_tree, "applied to")


@app.command()
def undo(
    run_id: Annotated[str, typer.Argument(help="The run, or the beginning of its id.")],
) -> None:
    """Take a run's change out of the work tree again."""
    from reapair.agent.handover import take_back

    _change_by_run(run_id, take_back, "taken back from")


def _find(run_id: str) -> Path:
    """Return the directory of a run; leave with words where there is none, or more than one."""
    from reapair.agent.run import RunError
    from reapair.agent.runs import find

    try:
        return find(run_id, _settings({}).runs)
    except RunError as error:
        _fail(2, str(error))


def _change_by_run(run_id: str, change: Callable[[Path, bytes], None], said: str) -> None:
    """Change the work tree of a run's repository by its patch."""
    from reapair.agent.handover import HandoverError
    from reapair.agent.run import read_events

    directory = _find(run_id)
    patch = directory / "patch.diff"
    if not patch.is_file():
        _fail(2, f"Run {directory.name} has not made a change.")
    repository = Path(read_events(directory)[0].data["repository"])
    try:
        change(repository, patch.read_bytes())
    except HandoverError as error:
        _fail(5, str(error))
    typer.echo(f"The change was {said} {_short(repository)}.")


@app.command()
def clean(
    older_than: Annotated[float, typer.Option(help="Days since a run's last event.")] = 30.0,
) -> None:
    """Remove old runs; none that is at work."""
    from reapair.agent.runs import clean as clean_runs

    removed = clean_runs(older_than, _settings({}).runs)
    typer.echo(f"{len(removed)} runs removed")


def _settings(given: dict[str, Any]) -> Settings:
    """Put flags over the environment; a wrong value is named with what is allowed."""
    from pydantic import ValidationError

    from reapair.agent.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).lower().removeprefix("agent_").replace("_", "-")
        _fail(2, f"--{name}: {first['msg']}. See agent solve --help.")


def _read_issue(issue: str) -> str:
    """Return the issue's text, whichever of the three ways it was given."""
    if issue == "-":
        return sys.stdin.buffer.read().decode("utf-8", "replace")
    try:
        if Path(issue).is_file():
            return Path(issue).read_text("utf-8", "replace")
    except OSError:  # Too long or too odd for a path: then it is text.
        pass
    if " " not in issue.strip() and ("/" in issue or issue.endswith((".md", ".txt"))):
        _fail(2, f"There is no file {issue}. Give an existing file, the text itself, or -.")
    return issue


def _show(
    job: Callable[[Callable[[Event], None]], Result], settings: Settings, *, as_json: bool
) -> NoReturn:
    """Do the job, show it as it happens, leave with its exit code."""
    from rich.console import Console

    from reapair.agent.console import Screen, print_json
    from reapair.agent.model.types import ModelError
    from reapair.agent.run import RunError
    from reapair.agent.solve import UsageError

    screen = Screen(Console())
    stopped: list[int] = []

    def stop(number: int, _: object) -> None:
        stopped.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        result = job(print_json if as_json else screen.show)
    except UsageError as error:
        _fail(2, str(error))
    except ModelError as error:
        _fail(3, str(error))
    except RunError as error:
        _fail(1, str(error))
    except KeyboardInterrupt:
        _fail(143 if stopped else 130, "Stopped.")
    if not as_json:
        screen.result(result, _short(result.directory))
    elif result.error:
        typer.echo(result.error, err=True)
    _exit(_code(result, settings, stopped=bool(stopped)))


def _code(result: Result, settings: Settings, *, stopped: bool) -> int:
    from reapair.agent.result import ExitCode, ExitReason

    if result.exit_reason is ExitReason.CANCELLED:
        return ExitCode.TERMINATED if stopped else ExitCode.INTERRUPTED
    return result.exit_code(accept_regression_free=settings.accept == "regression_free")


def _short(directory: Path) -> str:
    """Write a path the way people do, with ~ for their home."""
    try:
        return f"~/{directory.relative_to(Path.home())}"
    except ValueError:
        return str(directory)


def _fail(code: int, message: str) -> NoReturn:
    typer.echo(message, err=True)
    _exit(code)


def _exit(code: int) -> NoReturn:
    """Leave without waiting for threads: everything worth keeping is on disk by now."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
