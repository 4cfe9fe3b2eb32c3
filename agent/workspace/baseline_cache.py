"""What a suite said of untouched code, kept by content: the same code is not tested twice."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from reapair.sandbox.write_whole import write_whole
from reapair.tools import TestReport

MOST_KEPT = 200
"""How many reports are kept; the oldest go."""

_VERSION = "1"


def kept(parts: tuple[str, ...], run: Callable[[], TestReport]) -> TestReport:
    """Return the report that is kept for these parts, or make and keep it.

    Args:
        parts: everything the report depends on: the code, the environment, the command.
        run: makes the report; called when there is none, or it can't be read.

    A run that was cut short, that contradicts itself or in which nothing passed is not kept: the
    reason may have been the machine. Where the cache can't be written, nothing is kept.
    """
    key = hashlib.sha256("\0".join((_VERSION, *parts)).encode()).hexdigest()
    file = _directory() / f"{key}.json"
    with suppress(OSError, ValidationError):
        report = TypeAdapter(TestReport).validate_json(file.read_bytes(), strict=True)
        os.utime(file)
        return report
    report = run()
    if "passed" in report.statuses.values() and not (report.timed_out or report.inconsistent):
        with suppress(OSError):
            _keep(file, report)
    return report


def _directory() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("agent") / "baselines"


def _keep(file: Path, report: TestReport) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(file, json.dumps(asdict(report)).encode())
    others = sorted(file.parent.iterdir(), key=lambda other: other.stat().st_mtime)
    for old in others[:-MOST_KEPT]:
        old.unlink(missing_ok=True)
