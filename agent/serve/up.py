"""Brings a server up: plan it, fetch its file, start it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from reapair.agent.model.kept_server import Kept
from reapair.agent.model.types import ModelError
from reapair.agent.serve.catalogue import FILES
from reapair.agent.serve.command import check_release, installed
from reapair.agent.serve.hardware import this_machine
from reapair.agent.serve.keep import Keeper
from reapair.agent.serve.models import fetch, find
from reapair.agent.serve.plan import EngineName, Plan, gigabytes, make_plan


def plan_here(
    *,
    engine: EngineName | None = None,
    model: str | None = None,
    context: int | None = None,
    slots: int = 1,
) -> Plan:
    """Plan for this machine; a good file that is here is taken before a better one that is not.

    The arguments are those of `make_plan`. Raises ModelError.
    """
    machine, engines = this_machine(), installed()

    def planned(wanted: str | None) -> Plan:
        return make_plan(
            machine, engines, engine=engine, model=wanted, context=context, slots=slots
        )

    plan = planned(model)
    if model is None and plan.file and find(plan.file) is None:
        for file in FILES:
            if not file.below_floor and find(file):
                try:
                    have = planned(file.quantisation)
                except ModelError:
                    continue
                better = plan.file.quantisation
                plan = replace(
                    have, why=f"{have.why}; it is here, {better} would have to be fetched"
                )
                break
    return replace(plan, warnings=[*plan.warnings, *check_release(plan.engine)])


def missing_file(plan: Plan) -> bool:
    """Return whether the plan's file has to be fetched before it can start."""
    return plan.file is not None and find(plan.file) is None


def cost(plan: Plan) -> str:
    """Return in a line what starting the plan takes."""
    if plan.engine == "vllm":
        return f"vLLM fetches {plan.model} if it is not here ({gigabytes(plan.size)})"
    if missing_file(plan):
        return f"fetch {gigabytes(plan.size)} once, then load it"
    return f"load {gigabytes(plan.size)}"


def bring_up(
    plan: Plan,
    *,
    port: int,
    extra: list[str] | None = None,
    say: Callable[[str], None] = lambda _: None,
    keeper: Keeper | None = None,
) -> Kept:
    """Get the plan's file and start its server; see `Keeper.start`. Raises ModelError."""
    model = plan.path
    if plan.file:
        model = find(plan.file)
        if model is None:
            say(f"fetching {plan.file.name}, {gigabytes(plan.size)}")
            model = fetch(plan.file)
    return (keeper or Keeper()).start(plan, model, port=port, extra=extra, say=say)


def model_place(plan: Plan) -> Path | None:
    """Return where the plan's file is, or where it would be looked for."""
    if plan.engine == "vllm":
        return None
    return plan.path or (plan.file and find(plan.file)) or Path(plan.model)


def on_terminal() -> bool:
    """Return whether there is a terminal to ask on."""
    return sys.stdin.isatty() and sys.stderr.isatty()
