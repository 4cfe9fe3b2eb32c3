"""What the upstream graders read of ours, and what we take from them; by their own packages."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from reapair.agent.lab.evaluate.grade import Grade, GroupGrade
from reapair.agent.lab.evaluate.instances import Instance, InstanceError
from reapair.agent.lab.evaluate.records import Attempt, Record, place_of, write_record
from reapair.agent.lab.evaluate.reports import write_predictions, write_report
from reapair.agent.lab.evaluate.upstream import files_with_tests, passes, upstream_for
from reapair.sandbox.write_whole import write_whole

TEST_PATCH = "diff --git a/tests/test_a.py b/tests/test_a.py\n--- a\ndiff --git a/x.txt b/x.txt\n"


def instance(**facts: object) -> Instance:
    usual = {"id": "o__r-1", "schema_name": "swe-bench", "problem_statement": "x", "image": "i"}
    return Instance(**{**usual, **facts})  # type: ignore[arg-type]


@pytest.fixture
def evaluation(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """One resolved, one unresolved, one empty and one failed instance."""
    done, todo = GroupGrade(success=["t::a"]), GroupGrade(failure=["t::a"])
    for name, status, tests in (
        ("yes", "resolved", done),
        ("no", "unresolved", todo),
        ("nothing", "empty", GroupGrade()),
    ):
        grade = Grade(instance_id=name, status=status, fail_to_pass=tests)  # type: ignore[arg-type]
        place = place_of(tmp_path, name)
        write_record(place, Record(instance_id=name, attempts=[Attempt(grade=grade)]))
        write_whole(place / "1.diff", b"" if status == "empty" else b"--- a\n+++ b\n")
        if status != "empty":
            write_report(place, instance(id=name, schema_name=request.param), grade)
    write_record(place_of(tmp_path, "lost"), Record(instance_id="lost", failure="no disk"))
    write_predictions(tmp_path, "zai-org/GLM-4.7-Flash")
    return tmp_path


@pytest.mark.parametrize("evaluation", ["swe-bench"], indirect=True)
def test_swebench_reads_our_reports(evaluation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reporting = pytest.importorskip("swebench.harness.reporting", reason="needs reapair[eval]")
    from swebench.harness.utils import get_predictions_from_file

    monkeypatch.chdir(evaluation)
    # Their layout is run/model/instance; ours is the last part of it.
    place = evaluation / "logs" / "run"
    place.mkdir(parents=True)
    (place / "zai-org__GLM-4.7-Flash").symlink_to(evaluation / "instances")
    monkeypatch.setattr(reporting, "RUN_EVALUATION_LOG_DIR", evaluation / "logs")
    read = get_predictions_from_file(str(evaluation / "predictions.jsonl"), "x", "test")
    predictions = {each["instance_id"]: each for each in read}
    rows = [{"instance_id": name} for name in predictions]
    theirs = json.loads(Path(reporting.make_run_report(predictions, rows, "run")).read_text())
    ours = json.loads((evaluation / "report.json").read_text())
    for name in ("resolved_ids", "unresolved_ids", "empty_patch_ids", "completed_ids"):
        assert theirs[name] == ours[name], name
    assert theirs["schema_version"] == ours["schema_version"]


@pytest.mark.parametrize("evaluation", ["swe-smith"], indirect=True)
def test_swesmith_reads_our_reports(evaluation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("swebench.harness.docker_build", reason="needs reapair[eval]")
    upstream = pytest.importorskip("swesmith.harness.eval", reason="needs reapair[eval]")
    monkeypatch.setattr(upstream, "RUN_EVALUATION_LOG_DIR", evaluation)
    ours = json.loads((evaluation / "report.json").read_text())
    rows = [{"instance_id": name} for name in ("yes", "no", "nothing")]
    (evaluation / "rows.json").write_text(json.dumps(rows))
    predictions = evaluation / "predictions.jsonl"
    upstream.main("instances", 1, str(predictions), str(evaluation / "rows.json"), report_only=True)
    theirs = json.loads((evaluation / "instances/report.json").read_text())
    assert theirs["ids_resolved"] == ours["ids_resolved"] == ["yes"]
    assert theirs["ids_unresolved"] == ["no"]
    assert ours["ids_unresolved"] == ["no", "nothing"]


def test_our_reading_of_a_status_map_is_theirs() -> None:
    pytest.importorskip("swebench.harness.docker_build", reason="needs reapair[eval]")
    from swesmith.harness.grading import get_eval_tests_report

    statuses = {"a": "PASSED", "b": "FAILED", "c": "ERROR", "d": "SKIPPED"}
    listed = ["a", "b", "c", "d", "e"]
    theirs = get_eval_tests_report(statuses, {"FAIL_TO_PASS": listed, "PASS_TO_PASS": []})
    ours = [t for t in listed if passes(t, {k: v.lower() for k, v in statuses.items()})]  # type: ignore[misc]
    assert ours == theirs["FAIL_TO_PASS"]["success"] == ["a"]
    # The one difference: what was skipped has failed here, and is nowhere there.
    assert theirs["FAIL_TO_PASS"]["failure"] == ["b", "c", "e"]


def test_ids_that_were_cut_at_a_blank_are_found() -> None:
    statuses = {"t::x[a b]": "passed", "t::x[a c]": "failed", "t::y[a b]": "passed"}
    assert passes("t::y[a", statuses)  # type: ignore[arg-type]
    assert not passes("t::x[a", statuses)  # type: ignore[arg-type]
    assert not passes("t::z[a", statuses)  # type: ignore[arg-type]
    assert not passes("t::y", statuses)  # type: ignore[arg-type]


def test_rows_that_name_their_command_need_no_package() -> None:
    found = upstream_for(
        instance(schema_name="swe-rebench", test_command="pytest -rA", test_patch=TEST_PATCH)
    )
    assert found
    assert (found.command, found.parse) == ("pytest -rA tests/test_a.py", None)
    assert files_with_tests(TEST_PATCH) == ["tests/test_a.py"]
    assert upstream_for(instance(image="")) is None


def test_without_the_package_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "swebench.harness.constants", None)
    with pytest.raises(InstanceError, match=r"reapair\[eval\]"):
        upstream_for(instance(repo="psf/requests", version="2.0"))


def test_swebenchs_own_commands_and_parsers_are_used() -> None:
    pytest.importorskip("swebench.harness.log_parsers", reason="needs reapair[eval]")
    pytest_one = upstream_for(
        instance(repo="pytest-dev/pytest", version="7.0", test_patch=TEST_PATCH)
    )
    assert pytest_one
    assert (pytest_one.command, pytest_one.parse) == ("pytest -rA tests/test_a.py", None)
    django = upstream_for(instance(repo="django/django", version="4.0", test_patch=TEST_PATCH))
    assert django
    assert django.parse
    assert django.command.endswith(" test_a")
    log = "test_it (a.tests.T) ... ok\ntest_two (a.tests.T) ... FAIL\n"
    assert django.parse(log) == {
        "test_it (a.tests.T)": "PASSED",
        "test_two (a.tests.T)": "FAILED",
    }
