"""Commands for a model server on this machine: serve, models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from reapair.agent.surfaces.cli.common import INTERRUPTED, app, fail, leave, short
from reapair.agent.surfaces.cli.options import command

if TYPE_CHECKING:
    from reapair.agent.model.types import ModelError
    from reapair.agent.serve.plan import Plan

Engine = Literal["embedded", "llama-server", "vllm"]

PORT = 8080


@command(app, context_settings={"allow_extra_args": True, "ignore_unknown_options": False})
def serve(
    context_of_command: typer.Context,
    engine: Annotated[
        Engine | None,
        typer.Option(show_default="what suits the machine", help="Program that serves."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A GGUF file, a quantisation, or a repository for vLLM.",
            show_default="the best that fits",
        ),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(help="Tokens for each attempt.", min=4096, show_default="what fits"),
    ] = None,
    attempts: Annotated[int, typer.Option(help="Attempts served at once.", min=1, max=64)] = 1,
    port: Annotated[int, typer.Option(help="Port on loopback; 0 takes a free one.")] = PORT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print it, start nothing.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the server that was started.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Fetch a missing file, do not ask.")] = False,
) -> None:
    """Start a model server for solve, with the right flags, and keep it running.

    Arguments after -- go to the engine. Only this machine can reach the server, and only with its
    random key, which solve and doctor know.
    """
    from reapair.agent.serve.up import plan_here

    if stop:
        _stop()
    try:
        plan = plan_here(engine=engine, model=model, context=context, slots=attempts)
        if dry_run:
            _print(plan, port, context_of_command.args)
        start(plan, port=port, extra=context_of_command.args, yes=yes)
    except KeyboardInterrupt:
        fail(INTERRUPTED, "Stopped; no server is left running.")
    leave(0 if _preflight() else 3)


@command(app)
def models(
    json: Annotated[bool, typer.Option("--json", help="One JSON object per file.")] = False,
) -> None:
    """List the model files: which are here, which fit this machine."""
    from dataclasses import asdict
    from json import dumps

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from reapair.agent.serve.overview import overview

    if json:
        for row in overview():
            typer.echo(dumps(asdict(row)))
        return
    table = Table("file", "GB", "here", "context that fits", "note", box=None)
    for row in overview():
        fits = f"{row.context:,}" if row.context else "does not fit"
        place = short(Path(row.path).parent) if row.path else ""
        cells = (row.name, f"{row.size / 1e9:.2f}", place, fits, row.note)
        table.add_row(*(Text(cell) for cell in cells))
    Console().print(table)


def start(plan: Plan, *, port: int, extra: list[str] | None = None, yes: bool = False) -> None:
    """Print what is started, ask before a download, start it. Raises ModelError."""
    from reapair.agent.serve.up import bring_up, cost, missing_file, on_terminal

    typer.echo(f"{plan.engine}: {plan.why}", err=True)
    for warning in plan.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if missing_file(plan) and not yes:
        if not on_terminal():
            fail(3, f"{plan.model} is not here. Say --yes to {cost(plan)}, or name a file that is.")
        typer.confirm(f"Shall I {cost(plan)}?", default=True, abort=True, err=True)
    kept = bring_up(plan, port=port, extra=extra, say=lambda line: typer.echo(line, err=True))
    typer.echo(f"serving at {kept.base_url}; its log is {short(Path(kept.log))}", err=True)
    typer.echo("end it with: agent serve --stop", err=True)


def start_one(missing: ModelError, *, asked_for: bool) -> None:
    """Start a server because none was found, if that is wanted or someone at the terminal agrees.

    Raises `missing` where nobody agrees, ModelError where none can be started.
    """
    from reapair.agent.serve.up import cost, on_terminal, plan_here

    if not asked_for and not on_terminal():
        raise missing
    plan = plan_here()
    if not asked_for:
        question = f"No model server runs. Start {plan.engine} with {plan.why}: {cost(plan)}?"
        if not typer.confirm(question, default=True, err=True):
            raise missing
    start(plan, port=0, yes=True)


def _stop() -> NoReturn:
    from reapair.agent.serve.keep import Keeper

    kept = Keeper().stop()
    typer.echo(f"stopped {kept.model} at {kept.base_url}" if kept else "no server of ours runs")
    leave(0)


def _print(plan: Plan, port: int, extra: list[str]) -> NoReturn:
    """Print the command that would be started; the reasons and warnings go to stderr."""
    import shlex

    from reapair.agent.serve.command import command_of
    from reapair.agent.serve.up import model_place

    place = model_place(plan)
    command = command_of(plan, place, port=port) + extra
    typer.echo(f"{plan.engine}: {plan.why}", err=True)
    for warning in plan.warnings:
        typer.echo(f"warning: {warning}", err=True)
    key = "VLLM_API_KEY" if plan.engine == "vllm" else "LLAMA_API_KEY"
    typer.echo(f"set {key} to a key of yours, and AGENT_API_KEY to the same for solve", err=True)
    typer.echo(shlex.join(command))
    leave(0)


def _preflight() -> bool:
    """Run the doctor's checks of the server that now runs; tell whether solve would work."""
    from reapair.agent.surfaces.console import show_checks
    from reapair.agent.surfaces.doctor import check_model

    works = show_checks(check_model(None, None, None), as_json=False)
    if not works:
        typer.echo("It runs, but solve would not work with it; see above.", err=True)
    return works
