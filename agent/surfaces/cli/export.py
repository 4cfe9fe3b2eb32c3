"""The command that turns runs into training data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from reapair.agent.surfaces.cli.common import app, fail, settings_from
from reapair.agent.surfaces.cli.options import command

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reapair.agent.lab.export.choose import Export

Form = Literal["openai", "swe-smith", "atif", "sharegpt"]


@command(app)
def export(
    runs: Annotated[
        list[str], typer.Argument(help="Runs by id, or directories of runs or evaluations.")
    ],
    form: Annotated[Form, typer.Option("--format", help="Of the training data.")] = "openai",
    out: Annotated[
        Path | None,
        typer.Option(help="File to write; for atif a directory.", show_default="the screen"),
    ] = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Only resolved runs.")] = False,
    verdict: Annotated[
        list[str] | None,
        typer.Option(help="Only runs with this verdict; may be repeated.", show_default="any"),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Leave longer conversations out.", show_default="no limit"),
    ] = None,
    mask_failed: Annotated[
        bool, typer.Option("--mask-failed", help="Weight 0 for answers whose calls failed.")
    ] = False,
    license_: Annotated[
        str | None,
        typer.Option(
            "--license", help="Licence to name where a run has none.", show_default="none"
        ),
    ] = None,
) -> None:
    """Write runs as training data, without secrets and without your paths."""
    from reapair.agent.lab.export.choose import Export, Wanted, documents, run_directories
    from reapair.agent.result import Verdict

    if unknown := set(verdict or ()) - set(Verdict):
        fail(2, f"--verdict: there is no {unknown.pop()}. There are {', '.join(Verdict)}.")
    wanted = Wanted(resolved, frozenset(verdict or ()), max_tokens, mask_failed, license_)
    done = Export()
    try:
        directories = run_directories(runs, settings_from({}, here=False).runs)
        found = documents(directories, form, wanted, done)
        _write(found, out, one_each=form == "atif")
    except OSError as error:
        fail(1, f"The export cannot be written: {error}.")
    typer.echo(_told(done), err=True)


def _write(
    documents: Iterable[tuple[str, dict[str, Any]]], out: Path | None, *, one_each: bool
) -> None:
    """Write a line for each document, or a file for each."""
    if out is None:
        for _, document in documents:
            typer.echo(json.dumps(document))
    elif one_each:
        out.mkdir(parents=True, exist_ok=True)
        for name, document in documents:
            (out / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    else:
        with out.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(document) + "\n" for _, document in documents)


def _told(done: Export) -> str:
    left_out = ", ".join(f"{count} {why}" for why, count in done.left_out.items() if count)
    parts = [f"{done.runs} {'run' if done.runs == 1 else 'runs'} exported"]
    parts += [f"left out: {left_out}"] if left_out else []
    parts += [f"{done.scrubbed} secrets and paths taken out"] if done.scrubbed else []
    return "; ".join(parts) + "."
