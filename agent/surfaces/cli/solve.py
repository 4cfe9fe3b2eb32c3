"""Commands that bring a run to its end: solve, demo, resume, continue, fork."""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reapair.agent.surfaces.cli.common import (
    ApiKey,
    BaseUrl,
    Debug,
    Image,
    Include,
    JsonEvents,
    ModelName,
    Project,
    Quiet,
    RunId,
    SandboxName,
    SetupCommand,
    TestCommand,
    Verbose,
    app,
    fail,
    find_run,
    run_and_show,
    settings_from,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from reapair.agent.log.events import Event
    from reapair.agent.loop.cancel import Cancel
    from reapair.agent.result import Result

Text = str | None


@app.command()
def solve(
    issue: Annotated[
        str, typer.Argument(help="Text, a file, -, or on GitHub 123, owner/repo#123, an address.")
    ],
    base_url: BaseUrl = None,
    model: ModelName = None,
    api_key: ApiKey = None,
    strategy: Annotated[Text, typer.Option(help="auto, guided or loop.")] = None,
    samples: Annotated[
        int | None, typer.Option(help="Guided: answers at most for one function.")
    ] = None,
    repairs: Annotated[
        int | None, typer.Option(help="Guided: tries more with the failing output.")
    ] = None,
    attempts: Annotated[int | None, typer.Option(help="Attempts; the best is taken.")] = None,
    tools: Annotated[Text, typer.Option(help="standard, swe-smith or bash.")] = None,
    early_stop: Annotated[
        bool | None, typer.Option(help="End the other attempts when one is proved.")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(help="Steps before the end.")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Minutes before the end.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Tokens in and out before the end.")
    ] = None,
    project: Project = None,
    include: Include = None,
    setup_command: SetupCommand = None,
    test_command: TestCommand = None,
    image: Image = None,
    sandbox: SandboxName = None,
    test: Annotated[
        list[str] | None, typer.Option(help="Id of a test that must fail before, pass after.")
    ] = None,
    without_tests: Annotated[
        bool, typer.Option("--without-tests", help="Hand over no tests of the change's own.")
    ] = False,
    prompts: Annotated[
        Path | None, typer.Option(help="Folder with prompts in place of ours.")
    ] = None,
    accept: Annotated[Text, typer.Option(help="Weakest verdict that exits 0.")] = None,
    patch: Annotated[Path | None, typer.Option(help="Write the patch here; no branch.")] = None,
    apply: Annotated[bool, typer.Option(help="Change the work tree; no branch.")] = False,
    pr: Annotated[bool, typer.Option("--pr", help="Open a draft pull request, too.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Start a server if none runs.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    json: JsonEvents = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Solve ISSUE in this git repository and hand over a proved patch.

    Exit codes: 0 proved, 1 internal error, 2 usage, 3 model, 4 sandbox, 5 hand-over failed,
    9 regression-free, 10 unproved, 11 refuted, 12 no change, 130/143 stopped,
    141 nobody reads the output any more.
    """
    given = {
        "base_url": base_url,
        "model": model,
        "api_key": api_key,
        "strategy": strategy,
        "samples": samples,
        "repairs": repairs,
        "attempts": attempts,
        "tools": tools,
        "early_stop": early_stop,
        "max_steps": max_steps,
        "max_minutes": max_minutes,
        "max_tokens": max_tokens,
        "project": project.absolute() if project else None,
        "include": include,
        "setup_command": setup_command,
        "test_command": test_command,
        "image": image,
        "sandbox": sandbox,
        "test": test or None,
        "without_tests": without_tests or None,
        "prompts": prompts.absolute() if prompts else None,
        "accept": accept,
        "patch": patch.absolute() if patch else None,
        "apply": apply or None,
    }
    text, address = _from_github(issue)
    if pr and not address:
        fail(2, "--pr needs an issue on GitHub: its number, owner/repo#123, or its address.")
    settings = settings_from(given | {"pr": address if pr else None})
    text = text or _read_issue(issue)

    def job(on_event: Callable[[Event], None], cancel: Cancel) -> Result:
        from reapair.agent.model.connect import NoServerError
        from reapair.agent.surfaces.cli.serve import start_one
        from reapair.agent.surfaces.github.pull_request import publish_result
        from reapair.agent.surfaces.report.reported import solve as solve_issue

        solve_it = partial(
            solve_issue,
            text,
            settings=settings,
            on_event=on_event,
            cancel=cancel,
            open_pull_request=publish_result,
        )
        try:
            return solve_it()
        except NoServerError as error:
            start_one(error, asked_for=serve)
            return solve_it()

    run_and_show(job, settings, as_json=json, quiet=quiet, verbose=verbose)


@app.command()
def demo(
    sandbox: Annotated[
        str, typer.Option(help="docker, podman, bubblewrap, none or auto.")
    ] = "auto",
    quiet: Quiet = False,
    verbose: Verbose = False,
    json: JsonEvents = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Fix a bug in a small repository with a tiny model; both ship with this program."""
    from reapair.agent.demo.play import INTRODUCTION, play

    if not (json or quiet):
        typer.echo(INTRODUCTION)
    settings = settings_from({"sandbox": sandbox}, here=False)
    run_and_show(
        lambda on_event, _: play(on_event, sandbox=settings.sandbox),
        settings,
        as_json=json,
        quiet=quiet,
        verbose=verbose,
    )


@app.command()
def resume(
    run_id: RunId,
    api_key: ApiKey = None,
    base_url: BaseUrl = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    json: JsonEvents = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Go on with a run that was stopped, killed, or lost its server."""
    _go_on(run_id, None, api_key, base_url, as_json=json, quiet=quiet, verbose=verbose)


@app.command("continue")
def continue_(
    run_id: RunId,
    instruction: Annotated[str, typer.Argument(help="What to do next, in your words.")],
    api_key: ApiKey = None,
    base_url: BaseUrl = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    json: JsonEvents = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Tell a run that is finished or stopped what to do next; its limits begin anew."""
    _go_on(run_id, instruction, api_key, base_url, as_json=json, quiet=quiet, verbose=verbose)


@app.command()
def fork(
    run_id: RunId,
    at: Annotated[int, typer.Option(help="The last step to take over; 0: none.")],
    instruction: Annotated[Text, typer.Option(help="What to do next, in your words.")] = None,
    api_key: ApiKey = None,
    base_url: BaseUrl = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    json: JsonEvents = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Begin a new run as a copy of another one's first steps; that one stays as it is."""
    from reapair.agent.log.event_log import RunError
    from reapair.agent.log.fork import fork as fork_run

    try:
        copy = fork_run(find_run(run_id), at, settings_from({}, here=False).runs)
    except RunError as error:
        fail(2, str(error))
    copy.close()
    if not json:
        typer.echo(f"run {copy.id} goes on from step {at} of {run_id}")
    _go_on(copy.id, instruction, api_key, base_url, as_json=json, quiet=quiet, verbose=verbose)


def _go_on(
    run_id: str,
    instruction: Text,
    api_key: Text,
    base_url: Text,
    *,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Resume a run, with an instruction or without, and leave with its exit code."""
    directory = find_run(run_id)
    settings = settings_from({"api_key": api_key}, here=False)
    key = settings.api_key.get_secret_value() if settings.api_key else None

    def job(on_event: Callable[[Event], None], cancel: Cancel) -> Result:
        from reapair.agent.log.event_log import Run
        from reapair.agent.surfaces.github.pull_request import publish_result
        from reapair.agent.surfaces.report.reported import resume as resume_run

        run = Run(directory, directory.name)
        if not as_json:
            for event in run.of_kind("run_started"):
                on_event(event)  # So that the screen knows what the run is about.
        return resume_run(
            run,
            instruction=instruction,
            api_key=key,
            base_url=base_url,
            headers=settings.headers,
            on_event=on_event,
            cancel=cancel,
            open_pull_request=publish_result,
        )

    run_and_show(job, settings, as_json=as_json, quiet=quiet, verbose=verbose)


def _from_github(issue: str) -> tuple[str, str]:
    """Return text and address of an issue on GitHub; empty where none is meant."""
    if not re.fullmatch(r"(https?://\S+/|[\w.-]+/[\w.-]+#|#)?\d+([?#]\S*)?", issue.strip()):
        return "", ""
    from reapair.agent.surfaces.github.issues import read_issue
    from reapair.agent.surfaces.github.reference import NoSuchPlaceError, parse
    from reapair.agent.surfaces.github.rest_client import GitHub, GitHubError

    try:
        reference = parse(issue, Path.cwd())
        if reference is None:
            return "", ""
        return read_issue(GitHub.at(reference.server), reference), reference.url
    except (GitHubError, NoSuchPlaceError) as error:
        fail(2, str(error))


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
        fail(2, f"There is no file {issue}. Give an existing file, the text itself, or -.")
    return issue
