"""HumanEval-shaped problems: one answer each, run in the sandbox.

They say whether a served quantisation and its template are sound, not whether a model can work.
"""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reapair.agent.lab.evaluate.instance_selection import bounds
from reapair.agent.lab.evaluate.instances import InstanceError
from reapair.agent.lab.evaluate.statistics import wilson
from reapair.agent.model.connect import connect
from reapair.agent.model.recovery import WIRE
from reapair.agent.model.types import ModelError, Outcome, RequestOptions
from reapair.agent.settings.settings import Settings
from reapair.prompts import render
from reapair.sandbox import Engine, Environment, SandboxError, choose

if TYPE_CHECKING:
    from reapair.agent.model.client import Client
    from reapair.agent.model.types import Answer

PUBLISHED = (
    "Published: HumanEval 94.5 for GLM-4.7-Flash, 95.1 for its pruned 23B; HumanEval+ 89.0 for "
    "both."
)
SECONDS = 60.0
"""Longest that the tests of one problem may run."""

_TRIES = 4
_BLOCK = re.compile(r"```(?:python|py)?[^\S\n]*\n(.*?)```", re.S | re.I)

# Only a program that gets to its end has passed: leaving early is no success.
_END = "\nprint('all checks passed')\n"
_WITHOUT_TEST = """
def check(candidate):
    from copy import deepcopy

    own = {{}}
    exec({reference!r}, own)
    for arguments in {inputs!r}:
        wanted, got = own[{entry!r}](*deepcopy(arguments)), candidate(*deepcopy(arguments))
        if isinstance(wanted, float) or {tolerance!r} and not isinstance(wanted, (str, bool)):
            many = isinstance(wanted, (list, tuple))
            pairs = zip(wanted, got, strict=True) if many else [(wanted, got)]
            assert all(abs(a - b) <= ({tolerance!r} or 1e-6) * max(1, abs(a)) for a, b in pairs)
        else:
            assert wanted == got
"""


@dataclass(frozen=True)
class Solved:
    """What became of one problem; `why` says in a word why it was not passed."""

    task_id: str
    passed: bool
    why: str = ""


def run_problems(
    file: Path, settings: Settings, part: str = "", workers: int = 1, *, as_json: bool = False
) -> list[Solved]:
    """Ask the model for every problem's function, run its tests, print how it went.

    Args:
        file: one problem a line: task_id, prompt, entry_point, and test or inputs; perhaps gzipped.
        settings: server and sandbox.
        part: `start:stop` of the problems.
        workers: problems at once.
        as_json: print a JSON object for each problem.

    Raises InstanceError for a file that can't be read, ModelError and SandboxError.
    """
    problems = list(islice(_problems(file), *bounds(part)))
    if not problems:
        raise InstanceError(f"{file} holds no problem that was selected.")
    client = connect(settings)
    engine = choose(settings.sandbox, trust=True)
    environment = engine.prepare(b"", None, lambda _: None, lambda _: None)
    results = []

    def work(problem: dict[str, Any]) -> Solved:
        return _solve(problem, client, engine, environment)

    with ThreadPoolExecutor(workers) as pool:
        for solved in pool.map(work, problems):
            results.append(solved)
            words = {"task_id": solved.task_id, "passed": solved.passed, "why": solved.why}
            if as_json:
                print(json.dumps(words), flush=True)
            elif not solved.passed:
                print(f"{solved.task_id}: {solved.why}", flush=True)
    if not as_json:
        print(summary(results, file.name, client.server.model))
    return results


def summary(results: list[Solved], name: str, model: str) -> str:
    """Return the rate in lines for people, beside what is published."""
    passed, total = sum(each.passed for each in results), len(results)
    low, high = wilson(passed, total)
    return (
        f"{model}, {name}: {passed} of {total} passed, {100 * passed / total:.1f} % "
        f"(95 %: {100 * low:.1f} to {100 * high:.1f})\n{PUBLISHED}"
    )


def _problems(file: Path) -> Iterator[dict[str, Any]]:
    try:
        opening = gzip.open if file.suffix == ".gz" else Path.open
        with opening(file, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    problem = json.loads(line)
                    if not {"task_id", "prompt", "entry_point"} <= problem.keys():
                        raise InstanceError(
                            f"{file}, line {number} is no problem: it needs task_id, prompt and "
                            "entry_point."
                        )
                    yield problem
    except (OSError, ValueError) as error:
        raise InstanceError(f"{file} can't be read: {error}.") from error


def _solve(
    problem: dict[str, Any], client: Client, engine: Engine, environment: Environment
) -> Solved:
    task_id = str(problem["task_id"])
    answer = _ask(problem, client)
    if answer.outcome is not Outcome.FINAL_TEXT:
        return Solved(task_id, False, answer.outcome)
    with engine.sandbox(environment, "humaneval") as sandbox:
        sandbox.write("program.py", program(problem, answer.content).encode())
        done = sandbox.exec(["python3", "program.py"], timeout=SECONDS)
    if done.died:
        raise SandboxError("The sandbox went away while a problem's tests ran.")
    if done.ok and done.text.endswith(_END.split("'")[1] + "\n"):
        return Solved(task_id, True)
    if done.timed_out:
        return Solved(task_id, False, f"not done after {SECONDS:.0f} seconds")
    last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return Solved(task_id, False, last[:200] or "it ended before its tests")


def _ask(problem: dict[str, Any], client: Client) -> Answer:
    one = client.another(seed=1, context_tokens=client.server.context_tokens, overrides={})
    content = render("humaneval", prompt=problem["prompt"].rstrip("\n"))
    for number in range(_TRIES):
        answer = one.ask([{"role": "user", "content": content}], [], RequestOptions())
        if answer.outcome in (Outcome.AUTH, Outcome.NOT_FOUND, Outcome.BAD_REQUEST):
            break
        if answer.outcome not in WIRE or answer.outcome is Outcome.OVERFLOW:
            return answer
        time.sleep(2.0 * number)
    raise ModelError(f"The model server gave no answer: {answer.outcome}, {answer.detail}")


def program(problem: dict[str, Any], content: str) -> str:
    """Return the program that tests an answer: its last block, or all of it, and the checks."""
    blocks = _BLOCK.findall(content)
    entry = str(problem["entry_point"])
    code = next((block for block in blocks if f"def {entry}" in block), "")
    code = code or (blocks[-1] if blocks else content)
    if f"def {entry}" not in code:
        code = problem["prompt"] + code
    head = problem["prompt"].partition(f"def {entry}")[0]
    test = problem.get("test") or _test_of(problem, entry)
    return f"{head}\n{code}\n{test}\ncheck({entry})\n{_END}"


def _test_of(problem: dict[str, Any], entry: str) -> str:
    """Return a test from inputs and the reference solution, as EvalPlus's own files have them."""
    if "canonical_solution" not in problem:
        raise InstanceError(f"{problem['task_id']} has neither a test nor a reference solution.")
    inputs = [*(problem.get("base_input") or []), *(problem.get("plus_input") or [])]
    return _WITHOUT_TEST.format(
        reference=problem["prompt"] + problem["canonical_solution"],
        inputs=inputs,
        entry=entry,
        tolerance=problem.get("atol") or 0,
    )
