"""`go test`, read from its own stream of events."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from reapair.tools.observation import clip, stable
from reapair.tools.outcomes import FAILURE_LIMIT, Outcome, Status
from reapair.tools.runners.base import PLACE_RECORDER, Finished, Request, Tree, only

_TEST = re.compile(r"\bgo test\b")
_HIDING = re.compile(r"\s-(?:json|failfast)\b(?:=\S+)?")
_PACKAGES = re.compile(r"(?<=\s)(?:\./)?\.\.\.(?=\s|$|;|\|)|(?<=\s)\./\S+")
_MODULE = re.compile(r"^module\s+(\S+)", re.MULTILINE)
_NOISE = re.compile(
    r"^\s*(?:=== (?:RUN|PAUSE|CONT|NAME)|--- (?:FAIL|PASS|SKIP):).*\n", re.MULTILINE
)
_PANICKED = re.compile(r"^(?:panic: |fatal error: |FAIL\t|exit status)", re.MULTILINE)
_WORDS: dict[str, Status] = {"pass": "passed", "fail": "failed", "skip": "skipped"}


class _Event(BaseModel):
    action: Literal["run", "pass", "fail", "skip", "output", "build-output", "build-fail"] = Field(
        alias="Action"
    )
    package: str = Field("", alias="Package")
    test: str = Field("", alias="Test")
    output: str = Field("", alias="Output")
    built: str = Field("", alias="ImportPath")


class Go:
    """`go test`. Ids are `folder::TestName/subtest`, the folder relative to the repository."""

    name = "go test"
    selects_names = True
    any_command = False
    output_limit = 32 * 1024 * 1024
    recorder = "pytest_recorder.py"
    preparation = PLACE_RECORDER

    def takes(self, command: str, tree: Tree) -> bool:  # noqa: ARG002
        """Tell whether the command calls `go test`."""
        return bool(_TEST.search(command))

    def command(self, request: Request) -> str:
        """Add `-json`; a file selects its folder's package."""
        command = _HIDING.sub("", request.command)
        options = "go test -json -count=1"
        if request.selector:
            path, name = request.path, request.name
            if not name and _is_name(path):
                path, name = "", path
            if path:
                folder = path.rpartition("/")[0] if path.endswith(".go") else path
                below = "" if name or path.endswith(".go") else "/..."
                place = f"./{folder.strip('./')}{below}".replace("//", "/")
                command = _PACKAGES.sub(lambda _: f"'{place}'", command)
            if name:
                parts = "/".join(f"^{re.escape(part)}$" for part in name.split("/"))
                options += " -run " + _shell(parts)
        return _TEST.sub(lambda _: options, command)

    def outcome(self, finished: Finished) -> Outcome | None:
        """Read the events; lines that are none are what the build printed."""
        module = _MODULE.search(finished.request.tree.texts.get("go.mod", ""))
        reader = _Reader(module[1] if module else "", finished)
        for line in finished.output.splitlines():
            reader.take(line)
        outcome = reader.end()
        return only(outcome, finished.request.selector) if outcome.statuses else None


class _Reader:
    def __init__(self, module: str, finished: Finished) -> None:
        self._module = module
        self._finished = finished
        self._printed: dict[str, list[str]] = {}
        self._begun: dict[str, None] = {}
        self._other: list[str] = []
        self._outcome = Outcome()

    def take(self, line: str) -> None:
        try:
            event = _Event.model_validate_json(line)
        except ValidationError:
            if not line.startswith("{"):
                self._other.append(line)
            return
        test = self._id(event)
        if event.action == "run":
            self._begun[test] = None
        elif event.action == "build-output":
            self._other.append(event.output.rstrip("\n"))
        elif event.action == "output":
            self._printed.setdefault(test, []).append(event.output)
        elif event.test:
            self._begun.pop(test, None)
            self._outcome.statuses[test] = _WORDS[event.action]
        elif event.action == "fail":
            self._package_failed(test, event)

    def end(self) -> Outcome:
        outcome = self._outcome
        for test in self._begun:
            outcome.running = test  # the innermost begins last
            outcome.statuses[test] = "failed"
        for test, status in outcome.statuses.items():
            if status in ("failed", "error"):
                outcome.failures.setdefault(test, self._told(test))
        return outcome

    def _package_failed(self, package: str, event: _Event) -> None:
        """A package that fails without a failing test of its own could not be built or run."""
        own = f"{package}::"
        if self._begun or any(
            status == "failed" and test.startswith(own)
            for test, status in self._outcome.statuses.items()
        ):
            return
        self._outcome.statuses[package] = "error"
        self._outcome.collected_ok = False
        said = "".join(self._printed.get(package, [])) + "\n".join(self._other)
        self._outcome.failures[package] = stable(clip(said.strip(), FAILURE_LIMIT))
        del event

    def _told(self, test: str) -> str:
        text = _NOISE.sub("", "".join(self._printed.get(test, [])))
        if not text.strip():
            text = (
                "A part of it failed."
                if any(other.startswith(f"{test}/") for other in self._outcome.statuses)
                else "It did not end."
            )
        return stable(clip(text.strip("\n"), FAILURE_LIMIT))

    def _id(self, event: _Event) -> str:
        package = event.package
        if package == self._module or not package:
            package = "."
        else:
            package = package.removeprefix(f"{self._module}/")
        inside = self._finished.request.tree.folder.removeprefix("./").strip("/")
        if inside:
            package = inside if package == "." else f"{inside}/{package}"
        return f"{package}::{event.test}" if event.test else package


def _is_name(text: str) -> bool:
    return bool(re.match(r"^(?:Test|Benchmark|Example|Fuzz)[^/]*(?:/.*)?$", text))


def _shell(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
