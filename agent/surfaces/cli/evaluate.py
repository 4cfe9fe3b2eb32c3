"""Commands on benchmarks: eval, eval show, eval humaneval."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from reapair.agent.settings.table import MODEL, SETTINGS
from reapair.agent.surfaces.cli.common import INTERRUPTED, app, fail, group, leave, settings_from
from reapair.agent.surfaces.cli.options import LIMITS, SERVER, Given, command

if TYPE_CHECKING:
    from reapair.agent.lab.evaluate.evaluation import Plan, Progress

Servers = Annotated[
    list[str] | None,
    typer.Option(
        help="OpenAI-compatible endpoint; several share the work, and a run keeps its own.",
        metavar="URL",
        rich_help_panel=MODEL,
        show_default=SETTINGS["base_url"].unset,
    ),
]


class _RunByDefault(TyperGroup):
    """A group of commands in which `run` may be left out."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        if args and args[0] not in {*self.commands, "-h", "--help"}:
            args = ["run", *args]
        return super().parse_args(ctx, args)


evaluations = group(cls=_RunByDefault)
app.add_typer(
    evaluations, name="eval", help="Evaluate a model on benchmark tasks: agent eval TASKS."
)


@command(
    evaluations,
    settings=("model", "api_key", "tools", "sandbox", "image", "attempts", *LIMITS),
)
def run(
    given: Given,
    tasks: Annotated[Path, typer.Argument(help="JSONL, JSON or Parquet file, or a directory.")],
    out: Annotated[Path, typer.Option(help="Keeps everything; goes on with what is there.")] = Path(
        "evaluation"
    ),
    ids: Annotated[
        list[str] | None, typer.Option(help="Ids or globs; may be repeated.", show_default="all")
    ] = None,
    slice_: Annotated[
        str, typer.Option("--slice", help="A part of them, like 0:100.", show_default="all")
    ] = "",
    shuffle: Annotated[
        int | None,
        typer.Option(help="Shuffle with this seed first.", show_default="as they come"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Instances at once.")] = 1,
    redo: Annotated[bool, typer.Option("--redo", help="Run finished ones again.")] = False,
    solver: Annotated[
        str, typer.Option(help="model, gold, empty, script:FILE or predictions:FILE.")
    ] = "model",
    repos: Annotated[
        Path | None, typer.Option(help="Directory with clones.", show_default="none")
    ] = None,
    base_url: Servers = None,
    ray: Annotated[
        str | None,
        typer.Option(
            help="Run on the Ray cluster at this address; auto: this one's.",
            show_default="in processes here",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per instance.")] = False,
) -> None:
    """Solve and grade every task; interrupted, the same command goes on where it was.

    Exit codes: 0 all selected instances have a grade, 4 some failed for other reasons than the
    model's work, 2 usage, 3 no model server.
    """
    from reapair.agent.lab.evaluate.evaluation import Plan, servers_for

    # All attempts are wanted: pass@k counts them.
    settings = settings_from(given | {"early_stop": False}, here=False)
    urls = tuple(base_url or ())
    settings, urls = servers_for(settings, urls, solver)
    plan = Plan(
        tasks, out, settings, solver, workers, tuple(ids or ()), slice_, shuffle, urls, repos, redo
    )
    try:
        progress = _evaluate(plan, ray, as_json=json)
    except KeyboardInterrupt:
        fail(INTERRUPTED, "Stopped. The same command goes on.")
    leave(4 if progress.counts["failed"] else 0)


def _evaluate(plan: Plan, ray: str | None, *, as_json: bool) -> Progress:
    from rich.console import Console

    from reapair.agent.lab.evaluate.cluster import RayRunner
    from reapair.agent.lab.evaluate.evaluation import evaluate
    from reapair.agent.lab.evaluate.processes import run_locally
    from reapair.agent.lab.evaluate.watch import print_line, summary, watching

    runner = RayRunner(ray) if ray else run_locally
    if as_json:
        return evaluate(plan, print_line, runner)
    with watching(Console()) as listener:
        progress = evaluate(plan, listener, runner)
    typer.echo(f"{summary(progress)}\nMore: agent eval show {plan.out}")
    return progress


@command(evaluations)
def show(
    out: Annotated[Path, typer.Argument(help="The evaluation's directory.")],
    other: Annotated[
        Path | None, typer.Argument(help="Another one to compare with.", show_default="none")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Everything as one JSON object.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write it as a page here.", show_default="no page")
    ] = None,
) -> None:
    """Show what an evaluation says, or how two of them differ."""
    from reapair.agent.lab.evaluate.analysis import analyse, compare
    from reapair.agent.lab.evaluate.told import told

    found = analyse(out)
    against = compare(out, other) if other else None
    if json:
        compared = against.model_dump(mode="json") if against else None
        whole = found.model_dump(mode="json") | {"comparison": compared}
        typer.echo(dumps(whole, indent=1))
    elif html:
        from reapair.agent.surfaces.report.page import HERE, render

        page = render(HERE / "evaluation.html", name=out.name, found=found, against=against)
        html.write_text(page, "utf-8")
        typer.echo(f"written to {html}")
    else:
        typer.echo("\n".join(told(found, against)))


@command(evaluations, settings=(*SERVER, "sandbox"))
def humaneval(
    given: Given,
    file: Annotated[Path, typer.Argument(help="HumanEval(+) problems, JSONL, perhaps .gz.")],
    slice_: Annotated[
        str, typer.Option("--slice", help="A part of them, like 0:20.", show_default="all")
    ] = "",
    workers: Annotated[int, typer.Option(min=1, help="Problems at once.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per problem.")] = False,
) -> None:
    """Check a served model and its template on small problems, one answer each."""
    from reapair.agent.lab.evaluate.humaneval import run_problems

    settings = settings_from(given, here=False)
    run_problems(file, settings, slice_, workers, as_json=json)
