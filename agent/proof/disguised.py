"""Tests run where nothing looks like a test run: `disguise.py` does it inside the sandbox."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from reapair.agent.proof.sides import Side, Sides
from reapair.sandbox import Sandbox

_ASSIGNED = re.compile(r"(\w+)=(\S*)\s+")
_STARTED = re.compile(
    r"(?:(?:uv|poetry|pdm|hatch) run )?(?:\S*python[\d.]* -m )?(pytest|unittest)\b[^;&|]*"
)
_COPY = 'd=$(mktemp -d "${TMPDIR:-/tmp}/work.XXXXXX") && cp -a . "$d/code" && printf %s "$d"'
_PYTHON = '(command -v python >/dev/null || python() { python3 "$@"; }; python ../app.py)'
_NODE_FAILURE = re.compile(r"^\s*(?:not ok \d+ - |✖ )(.*?)(?: \([\d.]+ms\))?$", re.MULTILINE)
_NODE_TESTS = re.compile(r"\bnode\b[^;&|]*--test\b")


def run_in_disguise(
    sides: Sides, side: Side, files: Iterable[str], extra: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """Return status and message of each test by `Class::name[parameters]`; {}: it can't be done."""
    paths = sorted(files)
    python = all(path.endswith(".py") for path in paths)
    plan = plan_of(sides.command) if python else {}
    if plan is None:
        return {}
    with sides.sandbox(side, extra) as sandbox:
        if not python:
            return _by_node(sides, sandbox, paths)
        folder = sandbox.exec(_COPY, timeout=300).text
        named = {path: _other_name(path) for path in paths}
        for path, other in named.items():
            sandbox.exec(["mv", "--", f"{folder}/code/{path}", f"{folder}/code/{other}"])
        script = (resources.files("reapair.agent.proof") / "disguise.py").read_bytes()
        sandbox.write(f"{folder}/app.py", script)
        plan["files"] = sorted(named.values())
        sandbox.write(f"{folder}/plan.json", json.dumps(plan).encode())
        sandbox.exec(f"cd {shlex.quote(folder)}/code && {_PYTHON}", timeout=sides.seconds)
        try:
            return _results(json.loads(sandbox.read(f"{folder}/results.json")))
        except (OSError, ValueError, RecursionError):
            return {}


def _results(told: Any) -> dict[str, tuple[str, str]]:
    """Return what the program in the sandbox wrote, as far as it has its form."""
    items = told.items() if isinstance(told, dict) else ()
    return {name: (str(value[0]), str(value[1])) for name, value in items
            if isinstance(value, list) and len(value) == 2}  # fmt: skip


def _other_name(path: str) -> str:
    """Return another name for a test file, one that says nothing of tests."""
    folder, slash, name = path.rpartition("/")
    stem = re.sub(r"_?tests?_?", "", name.removesuffix(".py")) or "first"
    return f"{folder}{slash}{stem}_cases.py"


def plan_of(command: str) -> dict[str, Any] | None:
    """Return how a program of ours starts a command's tests; None where that is not known."""
    environment: dict[str, str] = {}
    while assigned := _ASSIGNED.match(command):
        environment[assigned[1]] = assigned[2].strip("'\"")
        command = command[assigned.end() :]
    started = _STARTED.fullmatch(command.strip())
    return started and {"environment": environment, "unittest": started[1] == "unittest"}


def _by_node(sides: Sides, sandbox: Sandbox, paths: list[str]) -> dict[str, tuple[str, str]]:
    """Run files of Node's own test runner as plain programs, in another folder."""
    manifest = sandbox.exec("cat package.json 2>/dev/null").text
    if not _NODE_TESTS.search(sides.command) and not _NODE_TESTS.search(manifest):
        return {}
    found: dict[str, tuple[str, str]] = {}
    folder = sandbox.exec(_COPY, timeout=300).text
    for path in paths:
        command = (
            f"cd {shlex.quote(folder)}/code && env -u NODE_ENV -u CI node ./{shlex.quote(path)}"
        )
        result = sandbox.exec(command, timeout=sides.seconds)
        for name in _NODE_FAILURE.findall(result.text):
            found[name.strip()] = ("failed", "")
    return found
