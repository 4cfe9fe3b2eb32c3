"""What a family of test runners knows: how to start one so that it can be read, and read it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from reapair.sandbox.base import ExecResult, Sandbox
from reapair.tools.testing.test_outcomes import SuiteOutcome

_FOLDER = re.compile(r"^cd (?:--? )?(?:'([^'\n]+)'|([\w./-]+)) *(?:\|\| *exit *;|&&|;)")
_READ = ("package.json", "go.mod", "Cargo.toml", "Makefile", "makefile", "GNUmakefile")
_FILE_LIMIT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Tree:
    """The top of the project that a command is about: names, and what its manifests say.

    Attributes:
        folder: where the command goes first, "" for the top of the repository.
        names: files and folders there.
        texts: content of those manifests that are there.
    """

    folder: str = ""
    names: frozenset[str] = frozenset()
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def scripts(self) -> dict[str, str]:
        """The scripts of package.json by name; hostile ones are left out."""
        try:
            package: Any = json.loads(self.texts.get("package.json", ""))
        except (ValueError, RecursionError):
            return {}
        found = package.get("scripts") if isinstance(package, dict) else None
        if not isinstance(found, dict):
            return {}
        return {name: text for name, text in found.items() if isinstance(text, str)}


def look(sandbox: Sandbox, command: str) -> Tree:
    """Look at the folder that a command goes to. What cannot be read counts as not there."""
    found = _FOLDER.match(command)
    folder = (found[1] or found[2]) if found else ""
    where = f"{folder.rstrip('/')}/" if folder else ""
    listed = sandbox.exec(["ls", "-1A", f"./{where}"])
    names = frozenset(listed.text.splitlines()) if listed.ok else frozenset[str]()
    texts = {}
    for name in _READ:
        if name in names:
            try:
                texts[name] = sandbox.read(where + name, limit=_FILE_LIMIT).decode(
                    "utf-8", "replace"
                )
            except OSError:
                continue
    return Tree(folder, names, texts)


@dataclass(frozen=True, slots=True)
class Request:
    """One run that is asked for.

    Attributes:
        command: as the user, the repository or the table gave it.
        selector: "" for everything; a path, a path with `::` and a name, or a bare name.
        folder: fresh, outside the repository, with our recorders in it; `report` is read from it.
        tree: what the command is about.
    """

    command: str
    selector: str
    folder: str
    tree: Tree

    @property
    def path(self) -> str:
        """The selector's path as seen from the project's folder, "" where it has none."""
        path = self.selector.partition("::")[0]
        inside = self.tree.folder.removeprefix("./").strip("/")
        return path.removeprefix(f"{inside}/") if inside else path

    @property
    def name(self) -> str:
        """What stands behind the path, "" where nothing does."""
        return self.selector.partition("::")[2]


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that has ended: what lies in `report`, what was printed, how it ended."""

    request: Request
    report: bytes
    output: str
    result: ExecResult


PLACE_RECORDER = 'cd "$d" && cat > reapair_recorder.py && cp reapair_recorder.py sitecustomize.py'
"""Also where no Python is expected: a build may well start some."""


class Runner(Protocol):
    """One family of test runners.

    Attributes:
        name: for people.
        selects_names: whether a bare name, which is no path, can be run.
        any_command: whether a command that shows no tests counts as one test itself.
        output_limit: bytes of output that reading needs.
        called: what a command contains that calls a runner of this family.
        recorder: file of `tools/` that runs beside the tests.
        preparation: shell script that puts it, from its input, into the folder `$d`.
    """

    name: str
    selects_names: bool
    called: re.Pattern[str]
    any_command: bool = False
    output_limit: int = 1024 * 1024
    recorder: str = "python_recorder.py"
    preparation: str = PLACE_RECORDER

    def takes(self, command: str, tree: Tree) -> bool:  # noqa: ARG002
        """Return whether the command calls a runner of this family."""
        return bool(self.called.search(command))

    def command(self, request: Request) -> str:
        """Return the command that runs what is asked for and can be read."""
        ...

    def outcome(self, finished: Finished) -> SuiteOutcome | None:
        """Return what became of each test; None where nothing of this family's was found."""
        ...


def only(outcome: SuiteOutcome, selector: str) -> SuiteOutcome:
    """Keep what the selector names, where the runner could only select more than that."""
    if "::" not in selector:
        return outcome
    kept = [test for test in outcome.statuses if _below(test, selector)]
    if kept:
        outcome.statuses = {test: outcome.statuses[test] for test in kept}
        outcome.failures = {t: s for t, s in outcome.failures.items() if t in outcome.statuses}
    return outcome


def _below(test: str, selector: str) -> bool:
    return test == selector or test.startswith((f"{selector} > ", f"{selector}/", f"{selector}::"))
