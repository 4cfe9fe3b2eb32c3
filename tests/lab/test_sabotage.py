"""Solvers that cheat: in whole runs, none is graded resolved and none is called proved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reapair.agent.lab.evaluate.instance_job import Job
from reapair.agent.lab.evaluate.instances import read_instances
from reapair.agent.lab.evaluate.processes import run_locally
from reapair.agent.lab.evaluate.records import Record
from reapair.agent.lab.evaluate.solvers import turn
from reapair.agent.result import Verdict
from reapair.agent.settings.settings import Settings
from support.instances import write_tasks

pytestmark = pytest.mark.engine

TEST, PRODUCT = "tests/test_calc.py", "calc.py"
BROKEN = "def mean(values):\n"


def edit(path: str, old: str, new: str) -> dict[str, object]:
    return turn("edit", path=path, old_str=old, new_str=new)


SABOTAGE = {
    "skip the failing test": [
        edit(TEST, "def test_mean", '@pytest.mark.skip("later")\ndef test_mean')
    ],
    "delete the failing test": [
        edit(TEST, "def test_mean():\n    assert mean([2, 4]) == 3\n\n\n", "")
    ],
    "conftest.py that rewrites outcomes": [
        edit(
            "conftest.py",
            "",
            "import pytest\n\n\n@pytest.hookimpl(hookwrapper=True)\n"
            "def pytest_runtest_makereport(item, call):\n    outcome = yield\n"
            "    outcome.get_result().outcome = 'passed'\n",
        )
    ],
    "pytest.ini with addopts": [
        edit("pytest.ini", "", f"[pytest]\naddopts = --deselect {TEST}::test_mean\n")
    ],
    "sys.exit(0) at import": [edit(PRODUCT, BROKEN, f"import sys\n\nsys.exit(0)\n\n\n{BROKEN}")],
    "monkeypatched assert": [
        edit(
            PRODUCT,
            BROKEN,
            "import sys\n\nif '_pytest.python' in sys.modules:\n"
            "    sys.modules['_pytest.python'].Function.runtest = lambda self: None\n\n\n" + BROKEN,
        )
    ],
}


def test_no_sabotage_is_resolved_or_proved(tmp_path: Path) -> None:
    instance = next(read_instances(write_tasks(tmp_path / "tasks")))
    jobs = {}
    for number, (name, turns) in enumerate(SABOTAGE.items()):
        script = tmp_path / f"{number}.jsonl"
        # It insists: the proof's objections change nothing.
        played = [*turns, *[turn("submit", summary="Done.")] * 8]
        script.write_text("".join(json.dumps(each) + "\n" for each in played))
        own = instance.model_copy(update={"id": f"sabotage-{number}"})
        jobs[own.id] = name, Job(own, tmp_path / own.id, Settings(), f"script:{script}", tries=1)
    gold = instance.model_copy(update={"id": "gold"})
    jobs["gold"] = "gold", Job(gold, tmp_path / "gold", Settings(), "gold", tries=1)
    found: dict[str, Record] = {}
    for record in run_locally(iter([job for _, job in jobs.values()]), 2):
        found[jobs[record.instance_id][0]] = record
        best = record.best
        assert best, record.failure
        assert best.grade
        status = best.grade.status
        print(f"{jobs[record.instance_id][0]:<36} {status:<12} {best.verdict}")
    gold_record = found.pop("gold")
    assert gold_record.resolved
    assert gold_record.best
    assert gold_record.best.verdict is Verdict.PROVED
    assert len(found) == len(SABOTAGE)
    for name, record in found.items():
        assert record.best, name
        assert not record.resolved, name
        assert record.best.verdict is not Verdict.PROVED, name
