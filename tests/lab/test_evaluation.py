"""Whole evaluations: nothing stops them, nothing is done twice, every instance is told once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reapair.agent.lab.evaluate import instance_job as unit
from reapair.agent.lab.evaluate.evaluation import Plan, evaluate
from reapair.agent.lab.evaluate.instance_job import Job, run_job
from reapair.agent.lab.evaluate.instances import InstanceError, read_instances
from reapair.agent.lab.evaluate.records import Record, place_of, read_record
from reapair.agent.lab.evaluate.solvers import turn
from reapair.agent.settings.settings import Settings
from support.instances import write_tasks
from support.scripted_server import ScriptedServer

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SETTINGS = Settings(early_stop=False)


def records(plan: Plan, ids: list[str]) -> list[Record]:
    found = [read_record(place_of(plan.out, name)) for name in ids]
    return [record for record in found if record]


def test_a_failure_stops_nothing_and_is_not_scored(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks", 3)
    rows = [json.loads(line) for line in tasks.read_text().splitlines()]
    rows[1]["repo_archive"] = "lost.tar.gz"
    tasks.write_text("".join(json.dumps(row) + "\n" for row in rows))
    plan = Plan(tasks, tmp_path / "out", SETTINGS, "gold", workers=2)
    progress = evaluate(plan)
    assert dict(progress.counts) == {"resolved": 2, "failed": 1}
    ids = [row["instance_id"] for row in rows]
    lost = records(plan, ids)[1]
    assert "lost.tar.gz" in lost.failure
    assert not lost.attempts
    predictions = [json.loads(line) for line in (plan.out / "predictions.jsonl").open()]
    assert [each["instance_id"] for each in predictions] == [ids[0], ids[2]]
    assert all("len(values)" in each["model_patch"] for each in predictions)
    report = json.loads((plan.out / "report.json").read_text())
    assert (report["resolved_ids"], report["error_ids"]) == ([ids[0], ids[2]], [ids[1]])
    (tmp_path / "tasks/lost.tar.gz").write_bytes((tmp_path / "tasks/repo.tar.gz").read_bytes())
    before = {name: (place_of(plan.out, name) / "record.json").stat().st_mtime_ns for name in ids}
    again = evaluate(plan)
    assert (again.earlier, dict(again.counts)) == (2, {"resolved": 3})
    after = {name: (place_of(plan.out, name) / "record.json").stat().st_mtime_ns for name in ids}
    assert [before[name] == after[name] for name in ids] == [True, False, True]
    with pytest.raises(InstanceError, match="solver: gold → empty"):
        evaluate(Plan(tasks, plan.out, SETTINGS, "empty"))


def test_paths_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tasks(tmp_path / "tasks", 1)
    monkeypatch.chdir(tmp_path)
    plan = Plan(Path("tasks/tasks.jsonl"), Path("out"), SETTINGS, "gold")
    assert dict(evaluate(plan).counts) == {"resolved": 1}
    assert (tmp_path / "out/report.json").exists()


def test_two_evaluations_do_not_work_in_one_directory(tmp_path: Path) -> None:
    plan = Plan(write_tasks(tmp_path / "tasks", 1), tmp_path / "out", SETTINGS, "empty")
    refused: list[str] = []

    def again(*_: object) -> None:
        if not refused:
            with pytest.raises(InstanceError) as error:
                evaluate(plan)
            refused.append(str(error.value))

    assert evaluate(plan, again).done == 1
    assert f"in use by another evaluation, process {os.getpid()} on " in refused[0]
    assert evaluate(plan).earlier == 1


def test_an_interrupted_evaluation_has_its_predictions_and_report(tmp_path: Path) -> None:
    plan = Plan(write_tasks(tmp_path / "tasks", 2), tmp_path / "out", SETTINGS, "gold")

    def stop(_: object, record: Record | None) -> None:
        if record:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(plan, stop)
    report = json.loads((plan.out / "report.json").read_text())
    assert report["resolved_instances"] == 1
    assert len((plan.out / "predictions.jsonl").read_text().splitlines()) == 1


def children_of(directory: Path) -> list[str]:
    """Return the processes that work below a directory of ours."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if str(directory) in line]


def test_a_killed_evaluation_goes_on(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks", 4)
    out = tmp_path / "out"
    call = [sys.executable, "-m", "reapair", "eval", str(tasks), "--solver", "empty"]
    call += ["--sandbox", "none", "--out", str(out), "--workers", "2", "--json"]
    ids = [instance.id for instance in read_instances(tasks)]
    first = subprocess.Popen(call, stdout=subprocess.PIPE, text=True)
    assert first.stdout
    line = json.loads(first.stdout.readline())
    assert line["resolved"] is False
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    first.stdout.close()
    done = {name for name in ids if read_record(place_of(out, name))}
    assert line["instance"] in done
    assert len(done) < len(ids)
    time.sleep(1)
    # Nobody goes on working for the dead.
    assert {name for name in ids if read_record(place_of(out, name))} == done
    again = subprocess.run(call, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    told = [json.loads(each)["instance"] for each in again.stdout.splitlines()]
    assert sorted(told) == sorted(set(ids) - done)
    report = json.loads((out / "report.json").read_text())
    assert report["empty_patch_ids"] == sorted(ids)
    assert not children_of(out)


def test_infrastructure_is_tried_again_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit, "RETRY_SECONDS", 0.01)
    instance = next(read_instances(write_tasks(tmp_path / "tasks")))
    settings = SETTINGS.model_copy(update={"base_url": "http://127.0.0.1:9/v1"})
    record = run_job(Job(instance, tmp_path / "place", settings, tries=2))
    assert (record.graded, record.tries, record.attempts) == (False, 2, [])
    assert "127.0.0.1:9" in record.failure
    assert read_record(tmp_path / "place") == record


def test_every_run_keeps_one_of_several_servers(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks", 2)
    fix = turn("edit", path="calc.py", old_str="(len(values) - 1)", new_str="len(values)")
    answers = [fix, *[turn("submit", summary="Done.")] * 6]
    with ScriptedServer(answers) as one, ScriptedServer(answers, dialect="vllm") as other:
        urls = (one.base_url, other.base_url)
        plan = Plan(tasks, tmp_path / "out", SETTINGS, workers=2, base_urls=urls)
        assert dict(evaluate(plan).counts) == {"resolved": 2}
        found = records(plan, [instance.id for instance in read_instances(tasks)])
        assert sorted(record.base_url for record in found) == sorted(urls)
        assert not one.rewritten()
        assert not other.rewritten()
    manifest = json.loads((plan.out / "manifest.json").read_text())
    assert [server["kind"] for server in manifest["servers"]] == ["llama.cpp", "vllm"]
    assert manifest["servers"][0]["build"] == "b99999-0c1e57098"
    assert len(manifest["servers"][0]["template"]) == len(manifest["prompts"]) == 64
    assert manifest["tasks"]["instances"] == 2


def test_attempts_are_graded_each_and_one_is_chosen(tmp_path: Path) -> None:
    instance = next(read_instances(write_tasks(tmp_path / "tasks")))
    settings = SETTINGS.model_copy(update={"attempts": 2})
    record = run_job(Job(instance, tmp_path / "place", settings, "gold", tries=1))
    assert [each.grade.resolved for each in record.attempts if each.grade] == [True, True]
    assert record.resolved
    assert all((tmp_path / "place" / each.run).is_dir() for each in record.attempts)


@pytest.mark.long
def test_predictions_of_another_harness_are_graded(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks", 2)
    gold = evaluate(Plan(tasks, tmp_path / "gold", SETTINGS, "gold", workers=2))
    assert gold.counts["resolved"] == 2
    lines = (tmp_path / "gold/predictions.jsonl").read_text().splitlines()
    theirs = tmp_path / "theirs.json"
    theirs.write_text(json.dumps({json.loads(lines[0])["instance_id"]: json.loads(lines[0])}))
    progress = evaluate(Plan(tasks, tmp_path / "out", SETTINGS, f"predictions:{theirs}"))
    assert dict(progress.counts) == {"resolved": 1, "unresolved": 1}


def test_a_process_that_dies_costs_its_own_instance_only(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks", 2)
    first, second = read_instances(tasks)
    # It dies before it can do anything: what it prints has no place to go.
    (place_of(tmp_path / "out", first.id) / "output.txt").mkdir(parents=True)
    plan = Plan(tasks, tmp_path / "out", SETTINGS, "empty", workers=2)
    assert dict(evaluate(plan).counts) == {"failed": 1, "unresolved": 1}
    died, lived = records(plan, [first.id, second.id])
    assert died.failure.startswith("Its process ended with 1")
    assert (died.tries, lived.graded) == (3, True)
