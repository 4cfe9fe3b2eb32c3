"""Grades a patch by the hidden tests, in a fresh sandbox, under the original test support.

What counts: every test that must pass *passes* (a skip is not a pass), by the machine-readable
report, with an exit code that agrees with it. A pass-to-pass test that does not pass on the
untouched code either is a fault of the environment: it is named and does not count.
Changes of the patch to tests, `conftest.py`, pytest settings and the like are taken back first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from reapair.agent.lab.evaluate.harbor import run_tests as run_harbor_tests
from reapair.agent.lab.evaluate.instance_image import engine_for
from reapair.agent.lab.evaluate.instances import Instance
from reapair.agent.lab.evaluate.state import make_state
from reapair.agent.lab.evaluate.upstream import passes, upstream_for
from reapair.agent.proof.changes import (
    Change,
    joined,
    judged,
    read_changes,
    with_after,
    with_before,
)
from reapair.agent.proof.tricks import product_tricks
from reapair.agent.settings.settings import Settings
from reapair.agent.workspace.clean_room import CleanRoom, apply
from reapair.agent.workspace.preparation import prepare
from reapair.sandbox import SandboxError
from reapair.sandbox.git.repository import GitStore
from reapair.sandbox.git.snapshot import Snapshot
from reapair.tools import TestReport, TestRunner

if TYPE_CHECKING:
    pass

Status = Literal["resolved", "unresolved", "empty", "does_not_apply", "timed_out"]


class GroupGrade(BaseModel):
    """Which tests of a group passed, and which did not.

    Attributes:
        environment: those that pass neither with the patch nor without it, though they should
            pass on both sides: this machine is to blame, so they do not count.
    """

    success: list[str] = Field(default_factory=list)
    failure: list[str] = Field(default_factory=list)
    environment: list[str] = Field(default_factory=list)


class Grade(BaseModel):
    """What the hidden tests say of a patch.

    Attributes:
        reverted: files whose change was taken back, because only tests use them.
        tricks: what the patch does in product code to have tests say something else than the
            truth; such a patch is never resolved.
        problem: one line for people where the tests alone don't tell why.
    """

    instance_id: str
    status: Status
    fail_to_pass: GroupGrade = Field(default_factory=GroupGrade)
    pass_to_pass: GroupGrade = Field(default_factory=GroupGrade)
    reverted: list[str] = Field(default_factory=list)
    tricks: list[str] = Field(default_factory=list)
    problem: str = ""

    @property
    def resolved(self) -> bool:
        """Whether the instance counts as solved."""
        return self.status == "resolved"


class Grader:
    """Grades patches for one instance; its environment is made once.

    Args:
        instance: the task.
        place: a directory of ours that does not exist yet; the state is kept there.
        settings: engine and limits; the instance's own commands win.
        clones: see `make_state`.
        say: is told what takes its time.

    Raises InstanceError when the state can't be had, SandboxError when the environment can't.
    """

    def __init__(
        self,
        instance: Instance,
        place: Path,
        settings: Settings,
        clones: Path | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.instance = instance
        repository = make_state(
            instance, place / "repository", clones, hide=False, kind=settings.sandbox
        )
        store = place / "store"
        self._snapshot = Snapshot.of_work_tree(repository, store)
        prepared = prepare(
            self._snapshot,
            GitStore(store, repository),
            settings_for(instance, settings),
            say,
            engine_for(instance, settings.sandbox),
        )
        self._room = CleanRoom(prepared, "grade")
        self._upstream = upstream_for(instance)
        upstream = self._upstream.command if self._upstream else None
        self._runner = TestRunner(upstream or prepared.test_command)

    def grade(self, patch: bytes) -> Grade:
        """Grade one patch. Raises SandboxError for what is no fault of the patch."""
        if not patch.strip():
            return Grade(instance_id=self.instance.id, status="empty")
        try:
            changes = self._changes(patch)
            if not changes:
                raise ValueError("It is no patch that can be read.")
            report = self._run(joined(changes, support=False))
        except ValueError as error:
            return Grade(instance_id=self.instance.id, status="does_not_apply", problem=str(error))
        if not report.statuses and not report.timed_out and not self._untouched.statuses:
            raise SandboxError(
                f"{self.instance.id}: no test runs, with a patch or without. Its environment is "
                "not right: see agent prepare."
            )
        grade = self._judge(report)
        grade.reverted = sorted(change.path for change in changes if change.support)
        if grade.resolved and (tricks := self._tricks(changes)):
            grade.status, grade.tricks, grade.problem = "unresolved", tricks, tricks[0]
        return grade

    def _judge(self, report: TestReport) -> Grade:
        groups = [
            GroupGrade(
                success=[test for test in tests if passes(test, report.statuses)],
                failure=[test for test in tests if not passes(test, report.statuses)],
            )
            for tests in (self.instance.fail_to_pass, self.instance.pass_to_pass)
        ]
        if groups[1].failure and not report.timed_out:
            self._set_environment_apart(groups[1])
        good = bool(groups[0].success) and not any(group.failure for group in groups)
        problem = report.inconsistent
        status: Status = "resolved" if good and not problem else "unresolved"
        if report.timed_out:
            status, problem = "timed_out", f"not done after {self.instance.timeout:.0f} seconds"
        return Grade(
            instance_id=self.instance.id,
            status=status,
            fail_to_pass=groups[0],
            pass_to_pass=groups[1],
            problem=problem,
        )

    def _set_environment_apart(self, group: GroupGrade) -> None:
        known = self._untouched.statuses
        group.environment = [test for test in group.failure if not passes(test, known)]
        group.failure = [test for test in group.failure if passes(test, known)]

    def _changes(self, patch: bytes) -> list[Change]:
        """Return what the patch changes, sorted into product and what only tests use."""
        with self._room.sandbox(self._snapshot) as sandbox:
            changes = with_before(read_changes(patch), sandbox)
            apply(self._snapshot, sandbox, patch)
            changes = with_after(changes, sandbox)
        # A Harbor task's own tests lie elsewhere: what the patch does to others is its work.
        harbor = self.instance.schema_name == "harbor"
        return changes if harbor else judged(changes, self._runner.command)

    def _tricks(self, changes: list[Change]) -> list[str]:
        """Name the tricks in product code, but for those that the right solution needs, too."""
        found = _named_tricks(changes)
        if found and (gold := self.instance.gold_patch.encode()):
            found = {kind: said for kind, said in found.items() if kind not in
                     _named_tricks(self._changes(gold))}  # fmt: skip
        return list(found.values())

    def _run(self, product: bytes) -> TestReport:
        with self._room.sandbox(
            self._snapshot, product, self.instance.test_patch.encode()
        ) as sandbox:
            if self.instance.schema_name == "harbor":
                return run_harbor_tests(self.instance, sandbox)
            if self._upstream and self._upstream.parse:
                return self._upstream.run(sandbox, self.instance.timeout)
            return self._runner.run(sandbox, "all", self.instance.timeout)

    @cached_property
    def _untouched(self) -> TestReport:
        """The hidden tests on the code without a patch; run once, and only where it matters."""
        return self._run(b"")


def _named_tricks(changes: list[Change]) -> dict[str, str]:
    """Return the tricks in product code by their words without the place."""
    said = [line for change in changes if not change.support for line in product_tricks(change)]
    return {line.partition(" ")[2]: line for line in said}


def settings_for(instance: Instance, settings: Settings) -> Settings:
    """Return the settings with what the instance says of its own environment."""
    own = {
        "image": instance.image or settings.image,
        # An instance's image has everything: what a row tells of its set-up is how it was made.
        "setup_command": None
        if instance.image
        else instance.setup_command or settings.setup_command,
        "test_command": instance.test_command or settings.test_command,
        "history": False,
    }
    return settings.model_copy(update=own)
