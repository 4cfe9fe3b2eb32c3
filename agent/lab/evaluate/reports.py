"""What the graders of SWE-bench and SWE-smith read: predictions and reports in their own form."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from reapair.agent.lab.evaluate.grade import Grade
from reapair.agent.lab.evaluate.instances import Instance
from reapair.agent.lab.evaluate.records import Record, patch_of, records
from reapair.sandbox.write_whole import write_whole

REPORT = "report.json"
"""Name of both an instance's report and a whole evaluation's, as in both packages."""


def write_report(place: Path, instance: Instance, grade: Grade) -> None:
    """Write an instance's report: flat as SWE-smith has it, by its id as SWE-bench has it."""
    exists = grade.status != "empty"
    report: dict[str, Any] = {
        "patch_is_None": False,
        "patch_exists": exists,
        "patch_successfully_applied": exists and grade.status != "does_not_apply",
        "resolved": grade.resolved,
        "tests_status": {
            "FAIL_TO_PASS": grade.fail_to_pass.model_dump(exclude={"environment"}),
            "PASS_TO_PASS": grade.pass_to_pass.model_dump(exclude={"environment"}),
            "FAIL_TO_FAIL": {"success": [], "failure": grade.pass_to_pass.environment},
            "PASS_TO_FAIL": {"success": [], "failure": []},
        },
    }
    if instance.schema_name == "swe-smith":
        report |= {"timed_out": True} if grade.status == "timed_out" else {}
    else:
        report = {instance.id: report}
    write_whole(place / REPORT, json.dumps(report, indent=1).encode() + b"\n")


def write_predictions(out: Path, model: str) -> None:
    """Write an evaluation's `predictions.jsonl` and `report.json`; never holds it all."""
    ids: dict[str, list[str]] = {"resolved": [], "unresolved": [], "empty": [], "error": []}
    new = out / f".predictions.{os.getpid()}"
    with new.open("w", encoding="utf-8") as file:
        for place, record in records(out):
            ids[_group(record)].append(record.instance_id)
            if not record.graded:
                continue
            patch = patch_of(place, record.chosen).decode("utf-8", "surrogateescape")
            line = {
                "instance_id": record.instance_id,
                "model_name_or_path": model,
                "model_patch": patch,
            }
            file.write(json.dumps(line) + "\n")
    new.replace(out / "predictions.jsonl")
    write_whole(out / REPORT, json.dumps(_totals(ids), indent=1).encode() + b"\n")


def _group(record: Record) -> str:
    if not record.graded:
        return "error"
    if record.resolved:
        return "resolved"
    empty = record.best and record.best.grade and record.best.grade.status == "empty"
    return "empty" if empty else "unresolved"


def _totals(ids: dict[str, list[str]]) -> dict[str, object]:
    """Return SWE-bench's run report, with the names that SWE-smith's has beside them."""
    not_resolved = sorted([*ids["unresolved"], *ids["empty"]])
    completed = sorted([*ids["resolved"], *ids["unresolved"]])
    submitted = sorted([*completed, *ids["empty"], *ids["error"]])
    return {
        "total_instances": len(submitted),
        "submitted_instances": len(submitted),
        "completed_instances": len(completed),
        "resolved_instances": len(ids["resolved"]),
        "unresolved_instances": len(ids["unresolved"]),
        "empty_patch_instances": len(ids["empty"]),
        "error_instances": len(ids["error"]),
        "submitted_ids": submitted,
        "completed_ids": completed,
        "incomplete_ids": [],
        "resolved_ids": ids["resolved"],
        "unresolved_ids": ids["unresolved"],
        "empty_patch_ids": ids["empty"],
        "error_ids": ids["error"],
        "schema_version": 2,
        "resolved": len(ids["resolved"]),
        "unresolved": len(not_resolved),
        "total": len(submitted) - len(ids["error"]),
        "ids_resolved": ids["resolved"],
        "ids_unresolved": not_resolved,
    }
