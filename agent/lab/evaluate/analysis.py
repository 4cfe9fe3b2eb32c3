"""What the records of an evaluation say, alone and beside another one's."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from reapair.agent.lab.evaluate.instances import InstanceError
from reapair.agent.lab.evaluate.manifest import read_manifest
from reapair.agent.lab.evaluate.records import Record, records
from reapair.agent.lab.evaluate.statistics import bootstrap, mcnemar, pass_at, wilson
from reapair.agent.result import Verdict

EXAMPLES = 3
"""Instances that are named for each group of failures."""


class Group(BaseModel):
    """Instances that failed the same way."""

    why: str
    count: int = 0
    examples: list[str] = Field(default_factory=list)


class Analysis(BaseModel):
    """What an evaluation says.

    Attributes:
        graded, resolved: instances that count, and those solved.
        failed: instances without a grade; they count for nothing.
        interval: 95 % interval of the rate.
        verdicts: how many with each verdict of ours, and how many of those are resolved.
        precision: of the patches we called proved, the part that is resolved.
        recall: of the resolved ones, the part that we called proved.
        pass_at: chance that one of k attempts is right, by k.
        best: rate of the attempt that the chooser took.
        means: steps, tokens and seconds of an instance; `cached`: part of the prompts' tokens
            that the servers had already.
    """

    manifest: dict[str, Any]
    graded: int = 0
    resolved: int = 0
    failed: int = 0
    interval: tuple[float, float] = (0.0, 1.0)
    verdicts: dict[str, tuple[int, int]] = Field(default_factory=dict)
    precision: float | None = None
    recall: float | None = None
    exit_reasons: dict[str, int] = Field(default_factory=dict)
    statuses: dict[str, int] = Field(default_factory=dict)
    pass_at: dict[int, float] = Field(default_factory=dict)
    best: float = 0.0
    means: dict[str, float] = Field(default_factory=dict)
    cached: float | None = None
    unresolved: list[Group] = Field(default_factory=list)
    infrastructure: list[Group] = Field(default_factory=list)


class Comparison(BaseModel):
    """Two evaluations over the instances that both have graded.

    Attributes:
        only_first, only_second: ids that one of them has resolved and the other not.
        difference: second rate minus first, with its 95 % interval.
        p: chance of a difference like this between equals (McNemar, exact).
    """

    names: tuple[str, str]
    common: int
    both: int
    neither: int
    only_first: list[str]
    only_second: list[str]
    difference: float
    interval: tuple[float, float]
    p: float


def analyse(out: Path) -> Analysis:
    """Read an evaluation's records, one at a time. Raises InstanceError where there are none."""
    found = Analysis(manifest=read_manifest(out))
    verdicts: defaultdict[str, Counter[bool]] = defaultdict(Counter)
    reasons: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    sums: defaultdict[str, float] = defaultdict(float)
    passes: list[tuple[int, int]] = []
    groups: tuple[dict[str, Group], dict[str, Group]] = ({}, {})
    for _, record in records(out):
        if not record.graded:
            found.failed += 1
            _group(groups[1], _without_names(record.failure), record.instance_id)
            continue
        found.graded += 1
        found.resolved += record.resolved
        _add(sums, record)
        passed = sum(bool(each.grade and each.grade.resolved) for each in record.attempts)
        passes.append((len(record.attempts), passed))
        best = record.best
        if best is None or best.grade is None:
            continue
        statuses[best.grade.status] += 1
        if best.verdict:
            verdicts[best.verdict][record.resolved] += 1
        if best.exit_reason:
            reasons[best.exit_reason] += 1
        if not record.resolved:
            _group(groups[0], _why(record), record.instance_id)
    if not found.graded + found.failed:
        raise InstanceError(f"{out} holds no finished instance. Start one with agent eval TASKS.")
    found.interval = wilson(found.resolved, found.graded)
    found.verdicts = {name: (sum(c.values()), c[True]) for name, c in sorted(verdicts.items())}
    _trust(found)
    found.exit_reasons, found.statuses = dict(reasons.most_common()), dict(statuses.most_common())
    found.pass_at = _pass_at(passes)
    found.best = found.resolved / found.graded if found.graded else 0.0
    found.means, found.cached = _means(sums, found.graded)
    found.unresolved, found.infrastructure = (
        sorted(each.values(), key=lambda group: -group.count) for each in groups
    )
    return found


def _trust(found: Analysis) -> None:
    proved, right = found.verdicts.get(Verdict.PROVED, (0, 0))
    if found.verdicts:
        judged = sum(resolved for _, resolved in found.verdicts.values())
        found.precision = right / proved if proved else None
        found.recall = right / judged if judged else None


def _add(sums: defaultdict[str, float], record: Record) -> None:
    sums["seconds"] += record.seconds
    for attempt in record.attempts:
        usage = attempt.usage
        sums["steps"] += attempt.steps
        sums["requests"] += usage.requests
        sums["prompt tokens"] += usage.prompt_tokens
        sums["cached tokens"] += usage.cached_tokens
        sums["completion tokens"] += usage.completion_tokens


def _means(sums: defaultdict[str, float], graded: int) -> tuple[dict[str, float], float | None]:
    if not graded:
        return {}, None
    prompt = sums["prompt tokens"]
    means = {name: round(total / graded, 1) for name, total in sums.items()}
    return means, sums["cached tokens"] / prompt if prompt else None


def _pass_at(passes: list[tuple[int, int]]) -> dict[int, float]:
    """Return the estimates for every k that all instances have attempts for."""
    most = min((attempts for attempts, _ in passes), default=0)
    return {
        k: sum(pass_at(k, attempts, passed) for attempts, passed in passes) / len(passes)
        for k in range(1, most + 1)
    }


def _group(groups: dict[str, Group], why: str, name: str) -> None:
    group = groups.setdefault(why, Group(why=why))
    group.count += 1
    if len(group.examples) < EXAMPLES:
        group.examples.append(name)


def _without_names(failure: str) -> str:
    """Return a failure's words with what differs from instance to instance left out."""
    words = re.sub(r"\b[\w.-]*__[\w.-]+|/\S+|\b[0-9a-f]{12,}\b|\d+", "…", failure)
    return words[:160]


def _why(record: Record) -> str:
    best = record.best
    grade = best.grade if best else None
    if best is None or grade is None:
        return "no grade"
    reason = "" if best.exit_reason in (None, "submitted") else f", ended by {best.exit_reason}"
    if grade.status != "unresolved":
        return f"{grade.status.replace('_', ' ')}{reason}"
    failing = [len(each.failure) for each in (grade.fail_to_pass, grade.pass_to_pass)]
    if grade.problem and not any(failing):
        return f"{grade.problem}{reason}"
    if failing[0] and failing[1]:
        return f"not mended and something broken{reason}"
    if failing[1]:
        return f"mended, but something broken{reason}"
    return f"{'partly' if grade.fail_to_pass.success else 'not'} mended{reason}"


def compare(first: Path, second: Path) -> Comparison:
    """Compare two evaluations pair by pair.

    Raises InstanceError when they have no instance in common.
    """
    graded = {record.instance_id: record.resolved for _, record in records(first) if record.graded}
    both = neither = 0
    only: tuple[list[str], list[str]] = ([], [])
    for _, record in records(second):
        if not record.graded or record.instance_id not in graded:
            continue
        pair = graded[record.instance_id], record.resolved
        both += pair == (True, True)
        neither += pair == (False, False)
        if pair[0] != pair[1]:
            only[pair[1]].append(record.instance_id)
    common = both + neither + len(only[0]) + len(only[1])
    if not common:
        raise InstanceError(f"{first} and {second} have graded no instance in common.")
    differences = [-1] * len(only[0]) + [0] * (both + neither) + [1] * len(only[1])
    return Comparison(
        names=(first.name, second.name),
        common=common,
        both=both,
        neither=neither,
        only_first=only[0],
        only_second=only[1],
        difference=sum(differences) / common,
        interval=bootstrap(differences),
        p=mcnemar(len(only[0]), len(only[1])),
    )
