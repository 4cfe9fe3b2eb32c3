"""Runs the steps of action.yml by bash, as a runner would, with what a runner gives them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
KEPT = ("PATH", "LANG", "TMPDIR", "DOCKER_HOST", "PYTHONPYCACHEPREFIX")
INSTALLS = ("Python", "Install")
"""Steps that get the program from a registry; here it is there already."""


@dataclass
class Job:
    """What one job left: its log, its outputs, its summary, its exit code."""

    log: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    code: int = 0
    steps: list[str] = field(default_factory=list)


def run_action(
    work: Path, given: dict[str, str], environment: dict[str, str], event: Path, name: str
) -> Job:
    """Run the action in `work`, which holds the checkout `repository`.

    Args:
        work: stands for `GITHUB_WORKSPACE`.
        given: the action's inputs; its defaults hold for the others.
        environment: of the job, without the inputs.
        event: file with the event.
        name: of the event.
    """
    inputs = {key: str(each.get("default", "")) for key, each in ACTION["inputs"].items()}
    unknown = set(given) - set(inputs)
    assert not unknown, unknown
    inputs |= given
    temporary = work / f"runner-{inputs['job']}"
    (temporary / "reapair/bin").mkdir(parents=True, exist_ok=True)
    program = temporary / "reapair/bin/agent"
    if not program.exists():
        program.symlink_to(Path(sys.executable).parent / "agent")
    output, summary = temporary / "output", temporary / "summary"
    output.write_text("")
    summary.write_text("")
    base = {key: os.environ[key] for key in KEPT if key in os.environ}
    # The scripted answers are those of a model that decides itself.
    base |= {"AGENT_STRATEGY": "loop"} | environment
    base |= {
        **{"RUNNER_TEMP": str(temporary), "GITHUB_ACTIONS": "true", "HOME": str(temporary)},
        **{"GITHUB_EVENT_PATH": str(event), "GITHUB_EVENT_NAME": name, "CI": "true"},
        **{"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)},
        **{"XDG_STATE_HOME": str(temporary / "state"), "GITHUB_WORKSPACE": str(work)},
    }
    job = Job()
    for step in ACTION["runs"]["steps"]:
        if step["name"] in INSTALLS or not _holds(step.get("if", "true"), inputs, job):
            continue
        given_env = step.get("env", {}).items()
        variables = {key: _filled(value, inputs, job) for key, value in given_env}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
            cwd=work,
            env=base | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=240,
        )
        job.steps.append(step["name"])
        job.log += f"## {step['name']}\n{done.stdout}"
        job.outputs |= dict(line.split("=", 1) for line in output.read_text().splitlines())
        job.code = job.code or done.returncode
        if done.returncode:
            break
    job.summary = summary.read_text()
    return job


def _filled(text: Any, inputs: dict[str, str], job: Job) -> str:
    return re.sub(r"\$\{\{ (.*?) \}\}", lambda m: _value(m[1], inputs, job), str(text))


def _value(name: str, inputs: dict[str, str], job: Job) -> str:
    if name.startswith("inputs."):
        return inputs[name.removeprefix("inputs.")]
    if name.startswith("steps.check.outputs."):
        return job.outputs.get(name.rpartition(".")[2], "")
    assert name == "github.action_path", name
    return str(ROOT)


def _holds(condition: str, inputs: dict[str, str], job: Job) -> bool:
    """Tell whether a step's condition holds; of the language only what the action uses."""
    told = re.sub(
        r"(?:inputs|steps)\.[\w.-]+", lambda m: repr(_value(m[0], inputs, job)), condition
    )
    told = told.replace("&&", "and").replace("||", "or").replace("always()", "True")
    return bool(eval(told, {"true": True}))
