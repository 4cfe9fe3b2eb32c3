"""kill -9 at every event and at any instant: the resumed run ends like one that was left alone."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reapair.sandbox import SandboxError, choose
from support.crashes import ACTIONS, End, Kill, Nursery, end, fingerprint, model
from support.proved import FAST, proved_task
from support.scripted_server import ScriptedServer

EVENTS = 40
"""Events of an uninterrupted run."""


@pytest.fixture(scope="module")
def nursery(monkeypatch_module: pytest.MonkeyPatch) -> Iterator[Nursery]:
    root = str(Path(__file__).parents[1])
    monkeypatch_module.setenv("PYTHONPATH", root, prepend=":")
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@dataclass
class Scenario:
    """One way to run, tried with many kills."""

    nursery: Nursery
    place: Path
    settings: dict[str, Any]
    expected: End | None = None
    seconds: float = 0.0
    count: int = 0
    wrong: list[str] = field(default_factory=list)

    def run(self, kill: Kill | None) -> None:
        """Run, kill, resume, and note what is not as it was without the kill."""
        self.count += 1
        place = self.place / str(self.count)
        repository = proved_task(place / "repository").repository
        (repository / ".git" / "hooks" / "post-commit").write_text("#!/bin/sh\nexit 1\n")
        before = fingerprint(repository)
        with ScriptedServer([model] * 100) as server:
            settings = {**self.settings, "base_url": server.base_url, "test_command": FAST,
                        "runs": str(place / "runs")}  # fmt: skip
            job = {"settings": settings, "repository": str(repository), "tmp": str(place / "tmp")}
            status = self.nursery.run(job, kill)["status"]
            runs = list((place / "runs").glob("*"))
            if kill and runs and status == -9 and _has_begun(runs[0]):
                job |= {"run": str(runs[0]), "tmp": str(place / "tmp-2")}
                status = self.nursery.run(job)["status"]
            asked = len(server.chats)
        if kill and not (runs and _has_begun(runs[0])):
            return  # It was killed before there was anything to resume.
        said = (place / "said.txt").read_text()
        assert status == 0, f"{kill}: {said}"
        self._compare(kill, end(runs[0], repository), asked)
        after = fingerprint(repository)
        if self.settings.get("apply"):
            for name in ("calc.py", "log.txt"):
                before.pop(name, None)
                after.pop(name, None)
        if before != after:
            self.wrong.append(f"{kill}: the user's repository was changed")

    def _compare(self, kill: Kill | None, found: End, asked: int) -> None:
        if self.expected is None:
            self.expected = found
            assert (found.verdict, found.effects) == ("proved", 2)
        if found != self.expected:
            self.wrong.append(f"{kill}: {found} is not {self.expected}")
        # An effect of unknown fate costs one answer, a request under way is asked again.
        if asked > len(ACTIONS) + 1:
            self.wrong.append(f"{kill}: {asked} requests")

    def report(self) -> None:
        """Print how many were equal, and fail if one was not."""
        tried = self.count - 1
        print(f"{tried - len(self.wrong)} of {tried} equal ({self.settings})")
        assert not self.wrong


def _has_begun(run: Path) -> bool:
    log = run / "events.jsonl"
    return log.exists() and b"\n" in log.read_bytes()


def try_all(nursery: Nursery, place: Path, kills: list[Kill], **settings: Any) -> None:
    """Run once without a kill, then with each."""
    scenario = Scenario(nursery, place, settings)
    for kill in [None, *kills]:
        scenario.run(kill)
    scenario.report()


def instants(count: int, seed: int, longest: float) -> list[Kill]:
    """Return times to kill at, the same ones each time."""
    chance = random.Random(seed)
    return [("time", round(chance.uniform(0.05, longest), 3)) for _ in range(count)]


def needs(engine: str) -> None:
    """Skip where an engine is missing."""
    try:
        choose(engine)  # type: ignore[arg-type]
    except SandboxError as error:
        pytest.skip(str(error))


FEW: list[Kill] = [
    ("after", 1), ("before", 3), ("torn", 5), ("after", 7), ("before", 11), ("before", 12),
    ("before", 15), ("torn", 16), ("after", 20), ("before", 25), ("before", 35), ("after", 35),
    ("torn", 36), ("before", 38), ("after", 38), ("before", 39),
]  # fmt: skip


@pytest.mark.slow
def test_a_few_kills(nursery: Nursery, tmp_path: Path) -> None:
    try_all(nursery, tmp_path, FEW + instants(4, 1, 2.0), sandbox="none")


@pytest.mark.long
@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("how", ["before", "torn", "after"])
def test_kills_at_every_event(nursery: Nursery, tmp_path: Path, how: str) -> None:
    kills: list[Kill] = [(how, number) for number in range(1, EVENTS + 1)]
    try_all(nursery, tmp_path, kills, sandbox="none")


@pytest.mark.long
@pytest.mark.timeout(3_000)
def test_kills_at_random(nursery: Nursery, tmp_path: Path) -> None:
    try_all(nursery, tmp_path, instants(50, 2, 4.0), sandbox="none")


@pytest.mark.long
@pytest.mark.timeout(3_000)
def test_kills_of_runs_that_apply(nursery: Nursery, tmp_path: Path) -> None:
    kills: list[Kill] = [("before", number) for number in range(34, EVENTS + 1)]
    try_all(nursery, tmp_path, kills + instants(5, 3, 4.0), sandbox="none", apply=True)


@pytest.mark.long
@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("engine", ["docker", "bubblewrap"])
def test_kills_in_engines(nursery: Nursery, tmp_path: Path, engine: str) -> None:
    needs(engine)
    kills: list[Kill] = [("before", number) for number in range(2, EVENTS + 1, 2)]
    try_all(nursery, tmp_path, kills + instants(10, 4, 6.0), sandbox=engine)


def test_the_log_has_as_many_events_as_are_killed_at(nursery: Nursery, tmp_path: Path) -> None:
    try_all(nursery, tmp_path, [], sandbox="none")
    [log] = tmp_path.glob("1/runs/*/events.jsonl")
    kinds = [json.loads(line)["kind"] for line in log.open()]
    assert len(kinds) == EVENTS, kinds
