"""How many issues a real, weak model solves: ours in each strategy, and others beside it.

    python benchmarks/solve_rate.py tasks CACHE [--shared DIR] [--each 2]
    python benchmarks/solve_rate.py run CACHE OUT --base-url URL [--contestants guided,auto,loop]
        [--half tune|held|all] [--only TEXT] [--minutes 10]
    python benchmarks/solve_rate.py report OUT

`tasks` makes procedural bugs in real packages whose source distributions hold their tests, and
takes tasks in SWE-smith's form from a directory; each becomes two, with its failing tests in view
and without. `run` goes on where it was stopped: start it and forget it. Hidden tests decide. The
tasks are split in two halves by a hash of their names, before anything is tuned. Serve the model
with `agent serve --engine embedded --model FILE`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from solve_rate_peers import PEERS, run_peer
from solve_rate_table import print_tables

from reapair.agent.lab.evaluate.grade import settings_for
from reapair.agent.lab.evaluate.instances import Instance, read_instances
from reapair.agent.lab.evaluate.state import make_state
from reapair.agent.log.event_log import read_events
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import solve
from reapair.agent.surfaces.api import grade
from reapair.sandbox import SandboxError, choose

PACKAGES = (
    *("inflection==0.5.1", "itsdangerous==2.2.0", "pathspec==0.12.1", "humanize==4.9.0"),
    *("tabulate==0.9.0", "text-unidecode==1.3", "python-slugify==8.0.4", "jmespath==1.0.1"),
    *("sortedcontainers==2.4.0", "cachetools==5.3.3", "parse==1.20.1", "voluptuous==0.14.2"),
    *("boltons==24.0.0", "schema==0.7.5", "iniconfig==2.0.0", "semver==3.0.2"),
)
"""Source distributions that hold their tests; one of which no task can be made is passed over."""

OURS: dict[str, dict[str, Any]] = {
    "guided": {"strategy": "guided"},
    "auto": {"strategy": "auto"},
    "loop": {"strategy": "loop"},
    "without-execution": {"strategy": "guided", "without": ["execution", "values"]},
    "without-reproduction": {"strategy": "guided", "without": ["reproduction"]},
    "one-sample": {"strategy": "guided", "samples": 1},
    "no-second-try": {"strategy": "guided", "repairs": 0},
}
_NO_TASKS = (subprocess.SubprocessError, SandboxError, OSError, tarfile.TarError)
VIEWS = ("visible", "hidden")
GRACE_SECONDS = 300
"""After the limit of a task, for its proof and its end."""


@dataclass(frozen=True)
class Job:
    """One task for one contestant; `view` says whether the failing tests are in the repository."""

    task: str
    view: str
    contestant: str

    @property
    def half(self) -> str:
        """Which half the task belongs to, whatever is in view."""
        return "tune" if hashlib.sha256(self.task.encode()).digest()[0] % 2 else "held"


def make_tasks(cache: Path, shared: Path | None, each: int) -> None:
    """Make the tasks that are not there yet."""
    cache.mkdir(parents=True, exist_ok=True)
    for found in sorted(shared.glob("*/instance.json")) if shared else ():
        if not (cache / found.parent.name).exists():
            shutil.copytree(found.parent, cache / found.parent.name)
    for number, package in enumerate(PACKAGES):
        done = cache / f".{package}.done"
        if done.exists():
            continue
        with (
            tempfile.TemporaryDirectory() as place,
            contextlib.suppress(
                subprocess.SubprocessError, SandboxError, OSError, tarfile.TarError
            ),
        ):
            repository = _source_of(package, Path(place))
            command = [
                *(sys.executable, "-m", "reapair", "tasks", "make", str(repository)),
                *("--out", str(cache), "--count", str(each), "--seed", str(number)),
            ]
            subprocess.run(command, check=True, timeout=1_800)
            done.touch()
    print(sum(1 for _ in cache.glob("*/instance.json")), "tasks in", cache)


def _source_of(package: str, place: Path) -> Path:
    """Fetch a source distribution and return it as a git repository.

    It is fetched in a sandbox, while that is set up: to fetch one, pip runs code of the package.
    """
    engine = choose("auto")
    fetch = f"pip download -q --no-deps --no-binary :all: -d /home/agent/dist {package}"
    environment = engine.prepare(package.encode(), fetch, lambda _: None, lambda _: None)
    with engine.sandbox(environment, "solve-rate") as sandbox:
        name = sandbox.exec("ls /home/agent/dist").text.strip()
        (place / "archive").write_bytes(sandbox.read(f"/home/agent/dist/{name}", limit=2**26))
    with tarfile.open(place / "archive") as tar:
        tar.extractall(place / "source", filter="data")
    [top] = (place / "source").iterdir()
    repository = place / package.partition("==")[0]
    top.rename(repository)
    _git(repository, "init", "-q")
    _git(repository, "add", "-A", "-f")
    _git(repository, "commit", "-q", "-m", "Source distribution")
    return repository


def _git(repository: Path, *arguments: str, stdin: bytes = b"") -> None:
    identity = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.org"]
    command = ["git", *identity, *arguments]
    subprocess.run(command, cwd=repository, check=True, input=stdin, capture_output=True)


def jobs(cache: Path, contestants: list[str], half: str, only: str) -> Iterator[Job]:
    """Yield what is to be done: every task once for each contestant, before the next task."""
    for file in sorted(cache.glob("*/instance.json")):
        for view in VIEWS:
            for contestant in contestants:
                job = Job(file.parent.name, view, contestant)
                if only in f"{job.task}/{view}" and half in ("all", job.half):
                    yield job


def run_all(options: argparse.Namespace) -> None:
    """Do all jobs that have no row yet, each in a process of its own with a wall limit."""
    options.out.mkdir(parents=True, exist_ok=True)
    rows = options.out / "rows.jsonl"
    lines = rows.read_text("utf-8").splitlines() if rows.exists() else []
    done = {(r["task"], r["view"], r["contestant"]) for r in map(json.loads, lines)}
    for job in jobs(options.cache, options.contestants.split(","), options.half, options.only):
        if (job.task, job.view, job.contestant) in done:
            continue
        row = _one_in_process(job, options)
        with rows.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        print(
            row["contestant"], row["task"], row["view"], row["status"], row["seconds"], flush=True
        )


def _one_in_process(job: Job, options: argparse.Namespace) -> dict[str, Any]:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        answer = Path(place) / "row.json"
        command = [sys.executable, __file__, "one", str(options.cache), str(options.out),
                   "--base-url", options.base_url, "--minutes", str(options.minutes),
                   "--job", json.dumps(asdict(job)), "--answer", str(answer)]  # fmt: skip
        process = subprocess.Popen(command, start_new_session=True)
        limit = options.minutes * 60 + GRACE_SECONDS
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        seconds = round(time.monotonic() - began, 1)
        found = json.loads(answer.read_text("utf-8")) if answer.exists() else {"status": "no_end"}
    return {**asdict(job), "half": job.half, "seconds": seconds, **found}


def one(options: argparse.Namespace) -> None:
    """Do one job and write its row."""
    job = Job(**json.loads(options.job))
    [instance] = read_instances(options.cache / job.task)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        repository = make_state(instance, Path(place) / "repository", hide=job.view == "hidden")
        if job.view == "visible":
            _git(repository, "apply", "-", stdin=instance.test_patch.encode())
            _git(repository, "add", "-A", "-f")
            _git(repository, "commit", "-q", "-m", "Tests")
        settings = settings_for(
            instance, Settings(base_url=options.base_url, max_minutes=options.minutes)
        )
        if job.contestant in OURS:
            patch, facts = _ours(instance, repository, settings, job, options.out)
        else:
            patch, facts = run_peer(
                PEERS[job.contestant], instance, repository, settings, options.minutes
            )
    graded = grade(instance, patch, Settings(sandbox=settings.sandbox))
    row = {"status": graded.status, "solved": graded.resolved, **facts}
    options.answer.write_text(json.dumps(row), "utf-8")


def _ours(
    instance: Instance, repository: Path, settings: Settings, job: Job, out: Path
) -> tuple[str, dict[str, Any]]:
    chosen = settings.model_copy(
        update={**OURS[job.contestant], "branch": False, "runs": out / "runs"}
    )
    result = solve(instance.problem_statement, repository, chosen)
    log = read_events(result.directory)
    suspects = [event.data["suspects"] for event in log if event.kind == "suspects"]
    return result.patch, {
        "run": result.run_id,
        "verdict": result.verdict,
        "exit_reason": result.exit_reason,
        "requests": result.usage.requests,
        "prompt_tokens": result.usage.prompt_tokens,
        "completion_tokens": result.usage.completion_tokens,
        "suspect": _rank(suspects[-1] if suspects else [], instance.gold_patch),
    }


def _rank(suspects: list[dict[str, Any]], gold: str) -> int | None:
    """Return which suspect, from 1, the right change lies in; None for none of them."""
    places = _changed_lines(gold)
    for number, each in enumerate(suspects, 1):
        # What was cut off at the end of a function goes back behind it, and behind a blank line.
        lines = range(each["start"] - 1, each["end"] + 3)
        if any(path == each["path"] and line in lines for path, line in places):
            return number
    return None


def _changed_lines(patch: str) -> list[tuple[str, int]]:
    """Return path and line, in the file before, of all that a patch changes."""
    found, path, line = [], "", 0
    for row in patch.splitlines():
        if row.startswith("--- "):
            path = row[4:].partition("/")[2]
        elif row.startswith("@@"):
            line = int(row.split()[1].lstrip("-").partition(",")[0])
        elif row[:1] in ("+", "-") and not row.startswith("+++"):
            found.append((path, line))
            line += row[:1] == "-"
        elif row[:1] == " ":
            line += 1
    return found


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("tasks")
    made.add_argument("cache", type=Path)
    made.add_argument("--shared", type=Path)
    made.add_argument("--each", type=int, default=2)
    for name in ("run", "one"):
        run = commands.add_parser(name)
        run.add_argument("cache", type=Path)
        run.add_argument("out", type=Path)
        run.add_argument("--base-url", required=True)
        run.add_argument("--minutes", type=float, default=10.0)
        run.add_argument("--contestants", default=",".join(("guided", "auto", "loop", *PEERS)))
        run.add_argument("--half", choices=("tune", "held", "all"), default="all")
        run.add_argument("--only", default="", help="part of TASK/VIEW")
        run.add_argument("--job")
        run.add_argument("--answer", type=Path)
    commands.add_parser("report").add_argument("out", type=Path)
    options = parser.parse_args()
    if options.command == "tasks":
        make_tasks(options.cache, options.shared, options.each)
    elif options.command == "report":
        rows = (options.out / "rows.jsonl").read_text("utf-8").splitlines()
        print_tables([json.loads(row) for row in rows])
    else:
        {"run": run_all, "one": one}[options.command](options)


if __name__ == "__main__":
    main()
