"""`cargo test`, read from what it prints: its machine-readable form is not in stable releases."""

from __future__ import annotations

import re
import shlex

from reapair.tools.observation import clip, stable
from reapair.tools.testing.runners.base import Finished, Request, Runner, only
from reapair.tools.testing.test_outcomes import FAILURE_LIMIT, Status, SuiteOutcome

_TEST = re.compile(r"\bcargo (?:\+\S+ )?test\b(?: --no-fail-fast\b)?")
_QUIET = re.compile(r"(?<=\s)(?:-q|--quiet)(?=\s|$)")
_BINARY = re.compile(r"^\s+Running (?:unittests )?(\S+) \(\S*?/deps/(\S+?)-[0-9a-f]{16}\S*\)$")
_DOCUMENTS = re.compile(r"^\s+Doc-tests (\S+)$")
_LINE = re.compile(r"^test (.+?)(?: - should panic)? \.\.\. (ok|FAILED|ignored)(?:, .*|: .*)?$")
_SLOW = re.compile(r"^test (.+?) has been running for over \d+ seconds$")
_BLOCK = re.compile(r"^---- (.+?) std(?:out|err) ----$")
_SUMMARY = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed;")
_BACKTRACE = re.compile(r"^note: run with `RUST_BACKTRACE.*$\n?", re.MULTILINE)
_THREAD = re.compile(r"^(thread '.*?') \(\d+\)", re.MULTILINE)
_COMPILES_NOT = re.compile(r"^error(?:\[E\d+\])?: ", re.MULTILINE)
_WORDS: dict[str, Status] = {"ok": "passed", "FAILED": "failed", "ignored": "skipped"}


class Cargo(Runner):
    """`cargo test`. Ids are `src/lib.rs::module::name`; a workspace puts the crate before it."""

    name = "cargo test"
    selects_names = True
    called = _TEST
    output_limit = 32 * 1024 * 1024

    def command(self, request: Request) -> str:
        """Let every crate run; a file of `tests/` selects its binary, a name its tests."""
        command = _QUIET.sub("", request.command)
        options = " --no-fail-fast"
        path, name = request.path, request.name
        if path and not name and not path.endswith(".rs") and "/" not in path:
            path, name = "", path
        found = re.search(r"(?:^|/)tests/(\w+)\.rs$", path)
        if found:
            options += f" --test {found[1]}"
        elif path.endswith("src/lib.rs"):
            options += " --lib"
        elif path.startswith("src/") and not name:
            name = (
                path.removeprefix("src/")
                .removesuffix(".rs")
                .removesuffix("/mod")
                .replace("/", "::")
            )
        if name:
            options += " " + shlex.quote(name)
        return _TEST.sub(lambda match: match[0].removesuffix(" --no-fail-fast") + options, command)

    def outcome(self, finished: Finished) -> SuiteOutcome | None:
        """Read the lines of each binary, then what each failed test printed."""
        reader = _Reader("[workspace]" in finished.request.tree.texts.get("Cargo.toml", ""))
        for line in finished.output.splitlines():
            reader.take(line)
        outcome = reader.end()
        if not reader.binaries and not outcome.statuses:
            if not _COMPILES_NOT.search(finished.output):
                return None
            first = _COMPILES_NOT.search(finished.output)
            said = finished.output[first.start() :] if first else ""
            return SuiteOutcome(
                {"cargo": "error"},
                {"cargo": stable(clip(said.strip(), FAILURE_LIMIT))},
                collected_ok=False,
            )
        return only(outcome, finished.request.selector)


class _Reader:
    def __init__(self, workspace: bool) -> None:
        self._workspace = workspace
        self._place = ""
        self._block: list[str] | None = None
        self._slow: dict[str, None] = {}
        self._said: dict[str, list[str]] = {}
        self.binaries = 0
        self._outcome = SuiteOutcome(told={"passed": 0, "failed": 0})

    def take(self, line: str) -> None:
        binary, documents = _BINARY.match(line), _DOCUMENTS.match(line)
        if binary or documents:
            self.binaries += 1
            self._block = None
            if binary:
                self._place = f"{binary[2]}/{binary[1]}" if self._workspace else binary[1]
            elif documents:
                self._place = f"doc {documents[1]}"
        elif found := _BLOCK.match(line):
            self._block = self._said.setdefault(self._id(found[1]), [])
        elif found := _SUMMARY.match(line):
            self._block = None
            told = self._outcome.told or {}
            told["passed"] += int(found[1])
            told["failed"] += int(found[2])
        elif self._block is not None:
            if line in ("failures:", "successes:"):
                self._block = None
            else:
                self._block.append(line)
        elif found := _LINE.match(line):
            test = self._id(found[1])
            self._slow.pop(test, None)
            self._outcome.statuses[test] = _WORDS[found[2]]
        elif found := _SLOW.match(line):
            self._slow[self._id(found[1])] = None

    def end(self) -> SuiteOutcome:
        outcome = self._outcome
        for test in self._slow:
            outcome.running = outcome.running or test
            outcome.statuses[test] = "failed"
            outcome.failures[test] = "It was still running when the run ended."
        for test, lines in self._said.items():
            if outcome.statuses.get(test) == "failed":
                text = _THREAD.sub(r"\1", _BACKTRACE.sub("", "\n".join(lines)))
                outcome.failures[test] = stable(clip(text.strip(), FAILURE_LIMIT))
        return outcome

    def _id(self, name: str) -> str:
        return f"{self._place}::{name}" if self._place else name
