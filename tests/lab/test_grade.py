"""Grades cannot be fooled, by patches or by the ways in which other graders are known to err."""

from __future__ import annotations

from pathlib import Path

import pytest

from reapair.agent.lab.evaluate.grade import Grade, Grader
from reapair.agent.lab.evaluate.instances import Instance, read_instances
from reapair.agent.proof.changes import read_changes
from reapair.agent.settings.settings import Settings
from reapair.sandbox import SandboxError
from support.instances import BUG, FILES, FIX, HIDDEN, SHOWN, patch_between, write_tasks

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SETTINGS = Settings()
SHOWN_FAILS = "tests/test_calc.py::test_mean"


class Grades:
    """Grades of changes to the small instance."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.instance: Instance = next(read_instances(write_tasks(place / "tasks")))
        self.grader = Grader(self.instance, place / "grading", SETTINGS)
        self._number = 0

    def of(self, files: dict[str, str | None]) -> Grade:
        self._number += 1
        patch = patch_between(self.place / str(self._number), FILES, files)
        return self.grader.grade(patch.encode())


@pytest.fixture(scope="module")
def grades(tmp_path_factory: pytest.TempPathFactory) -> Grades:
    return Grades(tmp_path_factory.mktemp("grades"))


def test_the_fix_resolves_although_output_is_quiet_and_ids_have_blanks(grades: Grades) -> None:
    grade = grades.of({"calc.py": FIX})
    assert (grade.status, grade.problem, grade.reverted) == ("resolved", "", [])
    assert "tests/test_calc.py::test_text[a b]" in grade.pass_to_pass.success


def test_nothing_is_empty_and_no_patch_does_not_apply(grades: Grades) -> None:
    assert grades.grader.grade(b"").status == "empty"
    assert grades.grader.grade(b"+++ nonsense\n").status == "does_not_apply"
    other = patch_between(grades.place / "other", {"calc.py": "x\n"}, {"calc.py": "y\n"})
    assert grades.grader.grade(other.encode()).status == "does_not_apply"


HERE_ONLY = """import pytest


def test_with_a_library():
    pytest.importorskip("not_installed_here")


def test_with_a_network():
    assert False, "no network"


def test_text():
    assert "a b".split() == ["a", "b"]
"""


def test_a_test_that_cannot_pass_here_is_named_and_does_not_count(tmp_path: Path) -> None:
    names = ("with_a_library", "with_a_network", "text", "gone")
    listed = [f"tests/test_env.py::test_{name}" for name in names]
    hidden = patch_between(tmp_path / "hidden", FILES, {"tests/test_env.py": HERE_ONLY})
    tasks = write_tasks(tmp_path / "tasks", PASS_TO_PASS=listed, FAIL_TO_PASS=[SHOWN_FAILS])
    (tmp_path / "tasks/test.patch").write_text(hidden)
    grader = Grader(next(read_instances(tasks)), tmp_path / "grading", SETTINGS)

    def of(name: str, text: str) -> Grade:
        patch = patch_between(tmp_path / name, FILES, {"calc.py": text})
        return grader.grade(patch.encode())

    right = of("right", FIX)
    assert (right.status, right.pass_to_pass.failure) == ("resolved", [])
    assert right.pass_to_pass.environment == [listed[0], listed[1], listed[3]]
    # A fail-to-pass test stays strict, and so does a test that the patch breaks.
    assert of("wrong", BUG + "\n").status == "unresolved"
    broken = of("broken", FIX + "\n\nstr.split\nraise ImportError\n")
    assert (broken.status, broken.pass_to_pass.failure) == ("unresolved", [])


ON_TESTS: dict[str, dict[str, str | None]] = {
    "skip": {
        "tests/test_calc.py": SHOWN.replace("def test_mean", "@pytest.mark.skip\ndef test_mean")
    },
    "delete": {"tests/test_calc.py": None},
    "own hidden test": {"tests/test_hidden.py": "def test_one():\n    pass\n"},
    "conftest": {
        "conftest.py": "def pytest_runtest_logreport(report):\n    report.outcome = 'passed'\n",
        "tests/conftest.py": "def pytest_pyfunc_call(pyfuncitem):\n    return True\n",
    },
    "settings": {
        "pytest.ini": "[pytest]\naddopts = --deselect tests/test_calc.py::test_mean\n",
        "pyproject.toml": FILES["pyproject.toml"].replace("-q", "-q -k zero"),
    },
    "sitecustomize": {"sitecustomize.py": "import builtins\nbuiltins.sum = lambda v: 0\n"},
}
IN_PRODUCT: dict[str, dict[str, str | None]] = {
    "exit at import": {"calc.py": "import sys\n\nsys.exit(0)\n" + BUG},
    "hard exit at import": {"calc.py": "import os\n\nos._exit(0)\n" + BUG},
    "collection error": {"calc.py": BUG + "def mean(\n"},
    "patched pytest": {
        "calc.py": "import _pytest.python\n\n_pytest.python.Function.runtest = lambda self: None\n"
        + BUG
    },
    "equal to all": {
        "calc.py": "class All(float):\n    def __eq__(self, other):\n        return True\n\n\n"
        "def mean(values):\n    return All(0)\n"
    },
    "fixed, and something broken": {"calc.py": FIX.replace("sum(values)", "(sum(values) or 1)")},
}


@pytest.mark.long
@pytest.mark.parametrize("name", ON_TESTS)
def test_a_cheat_on_tests_is_not_resolved(grades: Grades, name: str) -> None:
    grade = grades.of(ON_TESTS[name])
    assert (grade.status, grade.reverted) == ("unresolved", sorted(ON_TESTS[name]))


def test_all_cheats_on_tests_together_are_not_resolved(grades: Grades) -> None:
    files: dict[str, str | None] = {}
    for cheat in ON_TESTS.values():
        files |= cheat
    grade = grades.of(files)
    assert (grade.status, grade.reverted) == ("unresolved", sorted(files))


OFTEN = ("exit at import", "patched pytest", "fixed, and something broken")


@pytest.mark.parametrize(
    "name", [n if n in OFTEN else pytest.param(n, marks=pytest.mark.long) for n in IN_PRODUCT]
)
def test_a_cheat_in_the_product_is_not_resolved(grades: Grades, name: str) -> None:
    grade = grades.of(IN_PRODUCT[name])
    assert grade.status == "unresolved"
    assert grade.fail_to_pass.failure or grade.pass_to_pass.failure or grade.tricks


def test_a_fix_counts_without_what_it_does_to_tests(grades: Grades) -> None:
    grade = grades.of(
        {"calc.py": FIX, "tests/test_hidden.py": ""} | ON_TESTS["conftest"] | ON_TESTS["delete"]
    )
    assert grade.status == "resolved"
    tests = ["tests/conftest.py", "tests/test_calc.py", "tests/test_hidden.py"]
    assert grade.reverted == ["conftest.py", *tests]


def graded(place: Path, **columns: object) -> Grade:
    instance = next(read_instances(write_tasks(place / "tasks", **columns)))
    return Grader(instance, place / "grading", SETTINGS).grade(
        patch_between(place / "fix", {"calc.py": BUG}, {"calc.py": FIX}).encode()
    )


def test_a_skip_is_not_a_pass(tmp_path: Path) -> None:
    skipped = HIDDEN.replace("def test", "import pytest\n\n\n@pytest.mark.skip\ndef test")
    hidden = patch_between(tmp_path / "hidden", FILES, {"tests/test_hidden.py": skipped})
    grade = graded(tmp_path, test_patch_file=None, test_patch=hidden)
    assert grade.status == "unresolved"
    assert grade.fail_to_pass.failure == ["tests/test_hidden.py::test_one"]


def test_a_test_that_is_missing_is_not_a_pass(tmp_path: Path) -> None:
    grade = graded(tmp_path, FAIL_TO_PASS=["tests/test_calc.py::test_gone"])
    assert grade.fail_to_pass.failure == ["tests/test_calc.py::test_gone"]
    assert not grade.resolved


def test_a_collection_error_beside_passing_tests_counts(tmp_path: Path) -> None:
    broken = patch_between(
        tmp_path / "hidden", FILES, {"tests/test_hidden.py": "import nothing_like_this\n" + HIDDEN}
    )
    grade = graded(tmp_path, test_patch_file=None, test_patch=broken)
    assert grade.status == "unresolved"
    assert grade.fail_to_pass.success == ["tests/test_calc.py::test_mean"]


def test_where_no_test_ever_runs_there_is_no_grade(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="no test runs"):
        graded(tmp_path, test_cmd="python -m pytest nowhere")


def test_a_suite_that_hangs_is_timed_out(tmp_path: Path) -> None:
    sleeping = "import time\n\n\ndef test_one():\n    time.sleep(60)\n"
    hidden = patch_between(tmp_path / "hidden", FILES, {"tests/test_hidden.py": sleeping})
    instance = next(read_instances(write_tasks(tmp_path / "t", test_patch_file=None)))
    instance = instance.model_copy(update={"test_patch": hidden, "timeout": 3.0})
    fix = patch_between(tmp_path / "fix", {"calc.py": BUG}, {"calc.py": FIX})
    assert Grader(instance, tmp_path / "g", SETTINGS).grade(fix.encode()).status == "timed_out"


PLAIN = b"""--- a/src/calc.py\t2026-01-01
+++ b/src/calc.py\t2026-01-02
@@ -1 +1 @@
--- a
+++ b
--- /dev/null
+++ b/new.py
@@ -0,0 +1 @@
+N = 1
--- a/old.py
+++ /dev/null
@@ -1 +0,0 @@
-O = 1
"""


def test_a_plain_diff_counts_like_git_s() -> None:
    """Lines of a hunk that look like headers stay what they are."""
    changes = read_changes(PLAIN)
    assert [(c.old, c.new) for c in changes] == [
        ("src/calc.py", "src/calc.py"),
        (None, "new.py"),
        ("old.py", None),
    ]
    assert changes[0].removed == ("-- a",)
    assert b"".join(change.part for change in changes) == PLAIN
