"""`go test`, read from its own stream of events."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from reapair.sandbox.base import WORKSPACE
from reapair.tools.observation import clip, stable
from reapair.tools.testing.runners.base import Finished, Request, Runner, only
from reapair.tools.testing.test_outcomes import FAILURE_LIMIT, Status, SuiteOutcome, cut_off

_TEST = re.compile(r"\bgo test\b")
_HIDING = re.compile(r"\s-(?:json|failfast)\b(?:=\S+)?")
_PACKAGES = re.compile(r"(?<=\s)(?:\./)?\.\.\.(?=\s|$|;|\|)|(?<=\s)\./\S+")
_MODULE = re.compile(r"^module\s+(\S+)", re.MULTILINE)
_NOISE = re.compile(
    r"^\s*(?:=== (?:RUN|PAUSE|CONT|NAME)|--- (?:FAIL|PASS|SKIP):).*\n", re.MULTILINE
)
_GOROUTINE = re.compile(r"^goroutine \d+ \[")
_PLACE = re.compile(rf"^\t{WORKSPACE}/(\S+:\d+)")
_BROKEN = re.compile(r"^FAIL\t(\S+) \[(?:build|setup) failed\]$")
_WORDS: dict[str, Status] = {"pass": "passed", "fail": "failed", "skip": "skipped"}


class _Event(BaseModel):
    action: Literal["run", "pass", "fail", "skip", "output", "build-output", "build-fail"] = Field(
        alias="Action"
    )
    package: str = Field("", alias="Package")
    test: str = Field("", alias="Test")
    output: str = Field("", alias="Output")


class Go(Runner):
    """`go test`. Ids are `folder::TestName/subtest`, the folder relative to the repository."""

    name = "go test"
    selects_names = True
    called = _TEST
    output_limit = 32 * 1024 * 1024

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

    def outcome(self, finished: Finished) -> SuiteOutcome:
        """Read the events; lines that are none are what the build printed."""
        module = _MODULE.search(finished.request.tree.texts.get("go.mod", ""))
        reader = _Reader(module[1] if module else "", finished)
        for line in finished.output.splitlines():
            reader.take(line)
        outcome = reader.end()
        return only(outcome, finished.request.selector)


class _Reader:
    def __init__(self, module: str, finished: Finished) -> None:
        self._module = module
        self._finished = finished
        self._printed: dict[str, list[str]] = {}
        self._begun: dict[str, None] = {}
        self._log: list[str] = []
        self._built: list[str] = []
        self._outcome = SuiteOutcome()

    def take(self, line: str) -> None:
        try:
            event = _Event.model_validate_json(line)
        except ValidationError:
            if not line.startswith('{"'):
                self._plain(line)
            return
        test = self._id(event.package, event.test)
        if event.action == "run":
            self._begun[test] = None
        elif event.action == "build-output":
            self._plain(event.output.rstrip("\n"))
        elif event.action == "output":
            self._printed.setdefault(test, []).append(event.output)
            self._log.append(event.output.rstrip("\n"))
        elif event.test:
            self._begun.pop(test, None)
            self._outcome.statuses[test] = _WORDS[event.action]
        elif event.action == "fail":
            self._package_failed(test)

    def end(self) -> SuiteOutcome:
        outcome = self._outcome
        for test in self._begun:
            outcome.running = test  # the innermost begins last
            outcome.statuses[test] = "failed"
        for test, status in outcome.statuses.items():
            if status in ("failed", "error"):
                outcome.failures.setdefault(test, self._told(test))
        outcome.collected_ok = outcome.collected_ok and bool(outcome.statuses)
        outcome.log = re.sub(r"\t\(?\d+\.\d+s\)?$", "", "\n".join(self._log), flags=re.MULTILINE)
        return outcome

    def _plain(self, line: str) -> None:
        """Take what the build printed; Go before 1.24 says here alone what could not be built."""
        self._log.append(line)
        if found := _BROKEN.match(line):
            self._package_failed(self._id(found[1], ""))
        else:
            self._built.append(line)

    def _package_failed(self, package: str) -> None:
        """A package that fails without a failing test of its own could not be built or run."""
        own = f"{package}::"
        tests = (t for t, status in self._outcome.statuses.items() if status == "failed")
        if any(test.startswith(own) for test in (*self._begun, *tests)):
            return
        self._outcome.statuses[package] = "error"
        self._outcome.collected_ok = False
        said = "".join(self._printed.get(package, [])) or "\n".join(self._built)
        self._outcome.failures[package] = stable(clip(_condensed(said), FAILURE_LIMIT))

    def _told(self, test: str) -> str:
        text = _condensed("".join(self._printed.get(test, [])))
        if test in self._begun:
            text = f"{cut_off(self._finished.result)}\n{text}".rstrip()
        elif not text.strip():
            text = "A part of it failed."
        return stable(clip(text, FAILURE_LIMIT))

    def _id(self, package: str, test: str) -> str:
        """Return the id: packages are told by their folder, as selectors are."""
        package = package.removeprefix(self._module).lstrip("/")
        inside = self._finished.request.tree.folder.removeprefix("./").strip("/")
        place = "/".join(part for part in (inside, package) if part) or "."
        return f"{place}::{test}" if test else place


def _condensed(text: str) -> str:
    """Leave out what the framework prints, and of a panic's frames those outside."""
    kept: list[str] = []
    function = ""
    lines = _NOISE.sub("", text).splitlines()
    begun = next((i for i, line in enumerate(lines) if _GOROUTINE.match(line)), len(lines))
    for line in lines[begun:]:
        place = _PLACE.match(line)
        if place:
            kept.append(f"    at {function} ({place[1]})")
        function = re.sub(r"\([^()]*\)$", "", line.strip())
    return "\n".join([*lines[:begun], *dict.fromkeys(kept)]).strip("\n")


def _is_name(text: str) -> bool:
    return bool(re.match(r"^(?:Test|Benchmark|Example|Fuzz)[^/]*(?:/.*)?$", text))


def _shell(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
