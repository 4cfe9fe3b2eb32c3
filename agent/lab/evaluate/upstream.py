"""How a benchmark's own harness runs an instance's tests, where its rows don't say that.

SWE-smith and SWE-bench keep test commands and log parsers in their packages, the `eval` extra.
What runs pytest needs no parser: our own recorder reads it, without those parsers' known mistakes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from reapair.agent.lab.evaluate.instances import Instance, InstanceError
from reapair.sandbox import Sandbox
from reapair.sandbox.git.patch import Patch
from reapair.tools import Status, TestReport

SMITH_COMMAND = "pytest --disable-warnings --color=no --tb=no --verbose"
"""What SWE-smith runs for Python, unless a repository's profile says otherwise."""

_ACTIVATION = re.compile(r"^(source \S+activate|conda activate \S+)\s*(;|&&)\s*")
_NO_TESTS = (".json", ".png", ".csv", ".txt", ".md", ".jpg", ".jpeg", ".pkl", ".yml", ".yaml",
             ".toml")  # fmt: skip
_STATUSES: dict[str, Status] = {
    "PASSED": "passed",
    "XFAIL": "passed",
    "FAILED": "failed",
    "ERROR": "error",
    "SKIPPED": "skipped",
}
_LOG_LIMIT = 32 * 1024 * 1024


@dataclass(frozen=True)
class Upstream:
    """A test command, and what reads its log; None where our own runners read it."""

    command: str
    parse: Callable[[str], dict[str, str]] | None = None

    def run(self, sandbox: Sandbox, timeout: float) -> TestReport:
        """Run the command and read its log by the upstream parser. Raises SandboxError."""
        assert self.parse  # noqa: S101 - our own runners do the others
        done = sandbox.exec(f"exec 2>&1\n{self.command}", timeout=timeout, output_limit=_LOG_LIMIT)
        found = self.parse(done.text)
        statuses = {test: _STATUSES.get(str(word).upper(), "error") for test, word in found.items()}
        bad = {"failed", "error"} & set(statuses.values())
        contradicts = (done.ok and bad) or (done.exit_code not in (0, None) and not bad)
        return TestReport(
            dict(sorted(statuses.items())),
            exit_code=done.exit_code,
            command=self.command,
            timed_out=done.timed_out,
            output_tail=done.text[-2000:],
            inconsistent=f"the command ended with {done.exit_code}" if contradicts else "",
        )


def upstream_for(instance: Instance) -> Upstream | None:
    """Return how the instance's tests are run; None where its row or repository says it all.

    Raises InstanceError where the package that knows it is needed and missing.
    """
    if instance.schema_name == "swe-smith" and instance.image and not instance.test_command:
        return _smith(instance)
    if instance.schema_name in ("swe-bench", "swe-rebench") and instance.image:
        return _bench(instance)
    return None


def _smith(instance: Instance) -> Upstream:
    try:
        from swesmith.profiles import registry
        from swesmith.profiles.python import PythonProfile
    except ImportError:
        return Upstream(SMITH_COMMAND)
    try:
        profile = registry.get_from_inst({"repo": instance.repo, "instance_id": instance.id})
    except (KeyError, ValueError):
        return Upstream(SMITH_COMMAND)
    command = _without_activation(profile.test_cmd)
    plain = isinstance(profile, PythonProfile) and "pytest" in command
    return Upstream(command, None if plain else profile.log_parser)


def _bench(instance: Instance) -> Upstream | None:
    files = files_with_tests(instance.test_patch)
    if instance.test_command:  # SWE-rebench names it in its rows.
        words = [instance.test_command, *map(shlex.quote, files)]
        return Upstream(" ".join(words))
    if not instance.version:  # A set of somebody's own: its repositories show how tests are run.
        return None
    try:
        from swebench.harness.constants import MAP_REPO_VERSION_TO_SPECS
        from swebench.harness.log_parsers import MAP_REPO_TO_PARSER
        from swebench.harness.test_spec.python import get_test_directives
    except ImportError as error:
        raise InstanceError(
            f"{instance.id}: its test command is known to the package swebench alone. Install it: "
            "pip install 'reapair[eval]'"
        ) from error
    specs: dict[str, Any] = MAP_REPO_VERSION_TO_SPECS.get(instance.repo, {})
    if instance.version not in specs:
        raise InstanceError(f"{instance.id}: swebench knows no version {instance.version!r}.")
    known = specs[instance.version]["test_cmd"]
    command = known[-1] if isinstance(known, list) else known
    row = {"repo": instance.repo, "test_patch": instance.test_patch}
    directives = get_test_directives(row) if instance.repo.count("/") else files
    whole = " ".join([command, *map(shlex.quote, directives)])
    if re.search(r"\bpytest\b", command):
        return Upstream(whole)
    parser = MAP_REPO_TO_PARSER[instance.repo]
    spec = SimpleNamespace(repo=instance.repo, version=instance.version)
    return Upstream(whole, lambda log: dict(parser(log, spec)))


def files_with_tests(test_patch: str) -> list[str]:
    """Return the files of a patch that hold tests, as the upstream harness chooses them."""
    patch = Patch(test_patch.encode("utf-8", "surrogateescape"))
    files = [path for file in patch.files for path in file.paths[-1:]]
    return [file for file in files if not file.endswith(_NO_TESTS)]


def _without_activation(command: str) -> str:
    """Return the command without conda's activation: the image's variables have done that."""
    while match := _ACTIVATION.match(command):
        command = command[match.end() :]
    return command


def passes(test: str, statuses: dict[str, Status]) -> bool:
    """Return whether a listed test has passed.

    SWE-bench's lists cut ids at the first blank: then all that begin so must have passed.
    """
    if test in statuses or "[" not in test or test.endswith("]"):
        return statuses.get(test) == "passed"
    cut = [status for name, status in statuses.items() if name.startswith(f"{test} ")]
    return bool(cut) and set(cut) == {"passed"}
