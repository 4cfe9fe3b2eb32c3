"""Writes a task as a directory: the schema of SWE-smith, the repository, the hidden tests."""

from __future__ import annotations

import ast
import gzip
import io
import json
import re
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reapair.agent.lab.tasks.bugs import Bug
from reapair.sandbox.git.scratch_repository import ScratchRepository
from reapair.tools import clip
from reapair.tools.python_source import parse_python

_TOP = "testbed"

_TIMEOUT = 90
"""Seconds, as SWE-smith has it; graders give a slow machine more."""

_ISSUE = """A test that used to pass fails now. The test is right: find what is wrong in the code \
and fix it.

The test, `{test}`:
```python
{source}
```

What it says:
```
{failure}
```
"""

_SHORT = "There is a bug in this code base: something that used to work does not any more. Fix it."


@dataclass(frozen=True, slots=True)
class Noticed:
    """What the suite says of a bug, by test ids, and the text of each failure."""

    failing: list[str]
    passing: list[str]
    failures: dict[str, str]
    command: str


def write_task(clean: Path, out: Path, name: str, bug: Bug, noticed: Noticed) -> Path:
    """Write a task below `out` and return its directory.

    Args:
        clean: the repository's files, without the bug.
        name: of the repository.
        bug: what is put in.
        noticed: which tests tell.
    """
    with tempfile.TemporaryDirectory(prefix="agent-tasks-") as folder:
        work = Path(folder) / _TOP
        # Compiled code would hold the solution.
        compiled = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(clean, work, symlinks=True, ignore=compiled)
        tree = ScratchRepository(work)
        good = tree.commit()
        bad = tree.commit({bug.file: bug.text.encode()})
        hidden = sorted({test.partition("::")[0] for test in noticed.failing})
        issue = _issue(clean, noticed)
        shown = tree.commit(dict.fromkeys(hidden))
        patches = {
            "patch": tree.diff(good, bad),
            "gold_patch": tree.diff(bad, good),
            "test_patch": tree.diff(shown, bad),
        }
        # One root commit: what came before it would give the bug away.
        shutil.rmtree(work / ".git")
        base = ScratchRepository(work).commit()
        name = re.sub(r"[^\w.-]+", "-", name)
        place = out / f"local__{name}.{good[:8]}.{bug.id}"
        place.mkdir(parents=True, exist_ok=True)
        _pack(work, place / "repo.tar.gz")
    (place / "test.patch").write_bytes(patches.pop("test_patch"))
    row = {
        "instance_id": place.name,
        "repo": f"local/{name}",
        **{key: patch.decode("utf-8", "surrogateescape") for key, patch in patches.items()},
        "FAIL_TO_PASS": noticed.failing,
        "PASS_TO_PASS": noticed.passing,
        "image_name": "",
        "problem_statement": issue,
        "problem_statement_static": {"basic": _SHORT},
        "base_commit": base,
        **_facts(bug, hidden),
        "test_cmd": noticed.command,
        "test_timeout": _TIMEOUT,
    }
    (place / "instance.json").write_text(json.dumps(row, indent=1) + "\n", "utf-8")
    return place


def _facts(bug: Bug, hidden: list[str]) -> dict[str, Any]:
    return {
        "bug_type": bug.kind,
        "bug_explanation": bug.explanation,
        "bug_file": bug.file,
        "bug_function": bug.function,
        "strategy": bug.kind,
        "f2p_test_files": hidden,
        "test_patch_file": "test.patch",
        "repo_archive": "repo.tar.gz",
        "repo_dir": _TOP,
        "workdir": f"/{_TOP}",
    }


def _issue(clean: Path, noticed: Noticed) -> str:
    """Return the first failing test that has a source and a message, with both."""
    for test in noticed.failing:
        source = _source(clean / test.partition("::")[0], test)
        if source:
            failure = clip(noticed.failures.get(test, "It fails."), 2_000)
            return _ISSUE.format(test=test, source=source, failure=failure)
    return f"{_SHORT}\n\nThese tests fail: {', '.join(noticed.failing[:10])}.\n"


def _source(file: Path, test: str) -> str:
    """Return the source of a test's function; "" where it isn't found."""
    name = test.rpartition("::")[2].partition("[")[0]
    try:
        text = file.read_text("utf-8")
        found = [
            node
            for node in ast.walk(parse_python(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
        ]
    except (OSError, ValueError, SyntaxError):
        return ""
    if not found:
        return ""
    start = min([found[0].lineno, *(each.lineno for each in found[0].decorator_list)])
    return "\n".join(text.splitlines()[start - 1 : found[0].end_lineno])


def _pack(work: Path, file: Path) -> None:
    """Pack a directory; whose files they were on this machine is left out."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.mtime = entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(work, _TOP, filter=plain)
    file.write_bytes(gzip.compress(packed.getvalue(), mtime=0))
