"""What `agent models` shows: every file of the catalogue and every other that is here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reapair.agent.model.types import ModelError
from reapair.agent.serve.catalogue import FILES, FLOOR
from reapair.agent.serve.command import installed
from reapair.agent.serve.hardware import Machine, this_machine
from reapair.agent.serve.models import local_files
from reapair.agent.serve.plan import EngineName, make_plan


@dataclass(frozen=True, slots=True)
class Row:
    """One file, or a quantisation that is not here and has no `path`.

    `context` is None where it does not fit.
    """

    name: str
    size: int
    path: str
    context: int | None
    note: str


def overview() -> Iterator[Row]:
    """Yield the files that are here, then those of the catalogue that are not."""
    machine, catalogued = this_machine(), {file.name for file in FILES}
    here: set[str] = set()
    for local in local_files():
        known = next((name for name in catalogued if local.path.name.endswith(name)), "")
        here.add(known)
        notes = ["can't be read"] if local.metadata is None else local.metadata.problems()
        context = _context(machine, str(local.path)) if local.metadata else None
        yield Row(local.path.name, local.size, str(local.path), context, " ".join(notes))
    for file in FILES:
        if file.name not in here:
            note = f"below {FLOOR}" if file.below_floor else ""
            yield Row(file.quantisation, file.size, "", _context(machine, file.quantisation), note)


def _context(machine: Machine, model: str) -> int | None:
    """Return the tokens that fit beside the file; None where not enough do."""
    engine: EngineName = "llama-server" if machine.gpus else "embedded"
    try:
        return make_plan(machine, {engine, *installed()}, engine=engine, model=model).context
    except ModelError:
        return None
