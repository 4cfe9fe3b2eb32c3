"""What the proof says of the patches in `patches/`, right, natural and adversarial ones.

    python benchmarks/patches.py [--sandbox KIND] [--cases FILE] [--details FILE] [NAME ...]

Prints every verdict as it comes, then the tables by kind and what was wrong. `--cases` takes a
list of cases (`before`, `after`, `right`) instead; NAME picks repositories or cases by a part of
their names.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from reapair.agent.log.event_log import Run
from reapair.agent.proof.verify import verify
from reapair.agent.result import Evidence
from reapair.agent.settings.settings import Settings
from reapair.agent.workspace.workspace import Workspace
from support.repositories import git, make_repository, write

FOLDER = Path(__file__).with_name("patches")
Kind = Literal["right", "natural", "adversarial"]
NAMES = ("proved", "shown", "regression_free", "unproved", "refuted")


@dataclass(frozen=True, slots=True)
class Case:
    """One patch for one small repository, and which verdicts are right."""

    repository: str
    name: str
    kind: Kind
    before: dict[str, str]
    after: dict[str, str]
    verdicts: tuple[str, ...] = ()
    issue: str = ""
    test_command: str = ""
    setup_command: str = ""

    def right(self, verdict: str) -> bool:
        """Return whether a verdict is one that the patch deserves."""
        return verdict in self.verdicts if self.verdicts else verdict != "proved"


@dataclass(slots=True)
class Table:
    """Verdicts by kind, and the cases that got a wrong one."""

    verdicts: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: list[str] = field(default_factory=list)

    def add(self, case: Case, verdict: str) -> None:
        """Count one verdict."""
        self.verdicts[case.kind][verdict] += 1
        if not case.right(verdict):
            self.wrong.append(f"{case.kind} | {case.repository} | {case.name} | {verdict}")

    def show(self) -> None:
        """Print the table, the rates, and what was wrong."""
        print(f"\n| kind | {' | '.join(NAMES)} | false |\n|---|{'---|' * (len(NAMES) + 1)}")
        for kind, found in self.verdicts.items():
            false = sum(line.startswith(f"{kind} ") for line in self.wrong)
            total = sum(found.values())
            numbers = " | ".join(str(found[name]) for name in NAMES)
            print(f"| {kind} | {numbers} | {false} of {total} ({100 * false / total:.0f} %) |")
        print("\n" + "\n".join(self.wrong))


def kept_cases() -> Iterator[Case]:
    """Yield the patches of `patches/`."""
    for file in sorted(FOLDER.glob("*.toml")):
        data = tomllib.loads(file.read_text())
        for patch in data["patch"]:
            yield _case(file.stem, data, patch)


def _case(repository: str, data: dict[str, Any], patch: dict[str, Any]) -> Case:
    before = dict(data["files"])
    if patch.get("hidden"):
        before = {path: text for path, text in before.items() if path not in data["shown_by"]}
    after = dict(patch.get("write", {}))
    for path, old, new in patch.get("edits", []):
        text = after.get(path, before[path])
        if old not in text:
            raise ValueError(f"{repository}: {patch['name']}: {path} has no {old!r}")
        after[path] = text.replace(old, new, 1)
    verdicts = patch.get("verdicts", ["proved"]) if patch["kind"] == "right" else ()
    return Case(
        repository=repository,
        name=patch["name"],
        kind=patch["kind"],
        before=before,
        after=after,
        verdicts=tuple(verdicts),
        issue=patch.get("issue", ""),
        test_command=data.get("test_command", ""),
        setup_command=data.get("setup_command", ""),
    )


def listed_cases(file: Path) -> Iterator[Case]:
    """Yield the cases of a list: a name that begins with `honest` is a right patch's."""
    for case in json.loads(file.read_text()):
        honest = case["name"].startswith("honest")
        kind = "right" if honest else "adversarial"
        verdicts = (case["right"],) if honest else ()
        if case["right"].startswith("neither"):
            verdicts = ("regression_free", "unproved", "refuted")
        yield Case(
            repository="cases",
            name=case["name"],
            kind=cast("Kind", kind),
            before=case["before"],
            after=case["after"],
            verdicts=verdicts,
            issue=case.get("issue", ""),
        )


def grouped(cases: Iterator[Case]) -> Iterator[list[Case]]:
    """Yield the cases that share a repository and its environment together."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(json.dumps([case.before, case.test_command]), []).append(case)
    yield from groups.values()


def judged(cases: list[Case], place: Path, sandbox: str) -> Iterator[tuple[Case, Evidence, float]]:
    """Yield the evidence for each of the cases of one repository, and the seconds it took."""
    first = cases[0]
    repository = make_repository(place / "repository", first.before)
    run = Run(place / "run", "proof")
    settings = Settings(
        base_url="http://127.0.0.1:9",
        sandbox=cast("Any", sandbox),
        test_command=first.test_command or None,
        setup_command=first.setup_command or None,
    )
    workspace = Workspace(run, settings, repository)
    try:
        workspace.prepare(lambda _: None)
        baseline = workspace.suite_of(workspace.snapshot)
        for case in cases:
            patch = diff(repository, case.after)
            begun = time.monotonic()
            evidence = verify(workspace, patch, baseline=baseline, issue=case.issue)
            yield case, evidence, time.monotonic() - begun
    finally:
        workspace.close()
        run.close()


def diff(repository: Path, after: dict[str, str]) -> bytes:
    """Return what gives files these texts as a patch, and leave the work tree clean."""
    for name, text in after.items():
        write(repository / name, text)
    git(repository, "add", "-A", "-f")
    patch = git(repository, "diff", "--cached", "--binary", "--no-renames")
    git(repository, "reset", "-q", "--hard")
    return patch


def main() -> None:
    """Judge the cases and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--cases", type=Path)
    parser.add_argument("--details", type=Path)
    options = parser.parse_args()
    cases = listed_cases(options.cases) if options.cases else kept_cases()
    wanted = (
        case for case in cases
        if not options.names
        or any(part in f"{case.repository}: {case.name}" for part in options.names)
    )  # fmt: skip
    table, spent = Table(), 0.0
    for group in grouped(wanted):
        with tempfile.TemporaryDirectory() as name:
            for case, evidence, seconds in judged(group, Path(name), options.sandbox):
                table.add(case, evidence.verdict)
                spent += seconds
                mark = "" if case.right(evidence.verdict) else " <<<"
                said = " ".join([*evidence.tricks, evidence.problem, *evidence.notes])[:160]
                print(f"{case.repository} | {case.kind} | {case.name} | {evidence.verdict}{mark} | "
                      f"{seconds:.1f} s | {said}", flush=True)  # fmt: skip
                if options.details:
                    with options.details.open("a") as stream:
                        facts = evidence.model_dump(mode="json")
                        stream.write(json.dumps({"case": case.name, **facts}) + "\n")
    table.show()
    print(f"\n{spent:.0f} s of proofs")


if __name__ == "__main__":
    main()
