"""Copies of tests, and what follows from them: small parts by themselves, verdicts on real runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reapair.agent.log.event_log import Run
from reapair.agent.proof import verify as verifying
from reapair.agent.proof.changes import first_tests_of
from reapair.agent.proof.disguised import plan_of
from reapair.agent.proof.javascript import with_altered_expectations
from reapair.agent.proof.trials import name_in
from reapair.agent.proof.variants import asserts, names_of_tests, with_copies
from reapair.agent.proof.verify import verify
from reapair.agent.result import Evidence, Verdict
from reapair.agent.settings.settings import Settings
from reapair.agent.workspace.workspace import Workspace
from support.repositories import git, make_repository, write

CALC = (
    "def mean(values):\n    if not values:\n        return 0\n"
    "    return sum(values) / (len(values) - 1)\n"
)
FIXED = CALC.replace("(len(values) - 1)", "len(values)")
TESTS = (
    "import pytest\n\nfrom calc import mean\n\n\n"
    "def test_nothing():\n    assert mean([]) == 0\n\n\n"
    "@pytest.mark.parametrize('values, wanted', [([2, 4], 3), ([0, 0], 0)])\n"
    "def test_mean(values, wanted):\n    assert mean(values) == wanted\n"
)
SETTINGS = '[tool.pytest.ini_options]\npythonpath = ["."]\n'

KINDS = '''"""Kinds of checks."""
from __future__ import annotations
import math
import unittest


def double(number):
    if number < 0:
        raise ValueError("negative")
    return 2 * number


class Anything:
    def __eq__(self, other):
        return True


class KindsTest(unittest.TestCase):
    def test_equal(self):
        self.assertEqual(double(2), 4)

    def test_true(self):
        self.assertTrue(double(1) > 1)

    def test_close(self):
        assert math.isclose(double(3), 6)

    def test_raises(self):
        with self.assertRaisesRegex(ValueError, "neg"):
            double(-1)

    def test_blunt(self):
        assert Anything() == double(5)

    def test_not_reached(self):
        for number in []:
            assert double(number) == 7
'''


def ran(folder: Path, source: str) -> dict[str, str]:
    """Return what became of each test of a file that is really run."""
    (folder / "test_kinds.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", "unittest", "-v", "test_kinds"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    rows = (line.partition(" (") for line in done.stderr.splitlines() if " ... " in line)
    return {name: rest.rpartition(" ... ")[2] for name, _, rest in rows}


def test_an_altered_test_fails_and_a_blunt_one_does_not(tmp_path: Path) -> None:
    names = names_of_tests(KINDS)
    source, copies = with_copies(KINDS, set(names))
    seen = ran(tmp_path, source)
    altered = {c.test.rpartition("::")[2]: seen[c.name] for c in copies if c.role == "altered"}
    assert altered.pop("test_blunt") == "ok"
    assert altered.pop("test_not_reached") == "ok"
    assert set(altered.values()) <= {"FAIL", "ERROR"}
    reached = {c.test.rpartition("::")[2]: seen[c.name] for c in copies if c.role == "reached"}
    assert reached.pop("test_not_reached") == "ok"
    assert set(reached.values()) == {"FAIL"}
    assert all(seen[name.rpartition("::")[2]] == "ok" for name in names)


def test_a_nudged_test_tells_what_came_out(tmp_path: Path) -> None:
    (tmp_path / "test_kinds.py").write_text("")
    source, copies = with_copies(KINDS, {"KindsTest::test_equal"})
    ran(tmp_path, source)
    said = subprocess.run(
        [sys.executable, "-m", "unittest", "test_kinds"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    ).stderr
    assert "reapair-outcome gives" in said
    assert " of 2" in said
    assert {c.number for c in copies if c.role == "nudged"} == {0}


def test_what_checks_nothing_is_known() -> None:
    source = "def test_a():\n    run(1)\n\n\ndef test_b():\n    assert_ok(run(1))\n"
    assert (asserts(source, "test_a"), asserts(source, "test_b")) == (False, True)
    assert asserts(source, "test_inherited")


@pytest.mark.parametrize(
    ("test", "path", "name"),
    [
        ("tests/test_a.py::A::test_b[1-2]", "tests/test_a.py", "A::test_b[1-2]"),
        ("tests.test_a.A.test_b", "tests/test_a.py", "A::test_b"),
        ("test_a.A.test_b", "tests/test_a.py", "A::test_b"),
        ("tests/test_ab.py::test_c", "tests/test_a.py", ""),
        ("x/a.test.js::one > two", "x/a.test.js", "one > two"),
    ],
)
def test_a_test_is_found_in_its_file(test: str, path: str, name: str) -> None:
    assert name_in(test, path) == name


def test_commands_that_a_program_of_ours_can_stand_in_for() -> None:
    assert plan_of("PYTHONPATH=src python -m pytest -q") == {
        "environment": {"PYTHONPATH": "src"},
        "unittest": False,
    }
    assert plan_of("python -m unittest discover") == {"environment": {}, "unittest": True}
    assert plan_of("make test") is None
    assert plan_of("pytest; true") is None


def test_javascript_expectations_are_altered() -> None:
    source = "test('a', () => {\n  assert.equal(f(1), 2);\n  expect(g()).toBe(3);\n});\n"
    altered = with_altered_expectations("a.test.js", source)
    assert "assert.equal(f(1), __reapairAltered(2));" in altered
    assert "expect(g()).not.toBe(3);" in altered
    assert with_altered_expectations("a.test.js", "assert.customised(f(1), 2);\n") == ""


def patch(repository: Path, files: dict[str, str]) -> bytes:
    """Return the change that gives files these texts, and leave the work tree clean."""
    for name, text in files.items():
        write(repository / name, text)
    git(repository, "add", "-A", "-f")
    change = git(repository, "diff", "--cached", "--binary", "--no-renames")
    git(repository, "reset", "-q", "--hard")
    return change


def test_only_tests_written_before_the_product_changed_came_first(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {"calc.py": CALC, "test_calc.py": TESTS})
    own = {"test_own.py": "def test_it():\n    assert True\n"}
    first, scratch = patch(repository, own), patch(repository, own | {"try.py": "1\n"})
    final = patch(repository, own | {"calc.py": FIXED})
    late = patch(repository, {"calc.py": FIXED})
    assert first_tests_of([first, scratch, final], final) == first
    assert first_tests_of([late, final], final) == b""
    assert first_tests_of([], final) == b""


class Proofs:
    """A repository whose suite has a failing test, and proofs of patches for it."""

    def __init__(self, place: Path) -> None:
        files = {"calc.py": CALC, "tests/test_calc.py": TESTS, "pyproject.toml": SETTINGS}
        self.repository = make_repository(place / "repository", files | {"conftest.py": ""})
        self.run = Run(place / "run", "trials")
        settings = Settings(base_url="http://127.0.0.1:9", sandbox="none")
        self.workspace = Workspace(self.run, settings, self.repository)
        self.workspace.prepare(lambda _: None)
        self.baseline = self.workspace.suite_of(self.workspace.snapshot)

    def of(
        self, files: dict[str, str], issue: str = "", first: dict[str, str] | None = None
    ) -> Evidence:
        """Prove a change, in whose course the files of `first` were there before all else."""
        change = patch(self.repository, files)
        history = [patch(self.repository, first), change] if first else [change]
        return verify(self.workspace, change, baseline=self.baseline, issue=issue, history=history)


@pytest.fixture(scope="module")
def proofs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proofs]:
    proofs = Proofs(tmp_path_factory.mktemp("proofs"))
    yield proofs
    proofs.workspace.close()
    proofs.run.close()


def test_a_failing_test_that_was_there_proves_a_fix(proofs: Proofs) -> None:
    evidence = proofs.of({"calc.py": FIXED})
    assert (evidence.verdict, evidence.problem) == (Verdict.PROVED, "")
    [shown] = evidence.reproduction
    assert (shown.author, shown.origin) == ("existing", "in the repository")


WRONG = {
    "an input by comparison": CALC.replace(
        "    if not", "    if values == [2, 4]:\n        return 3\n    if not"
    ),
    "an input by its sum": CALC.replace(
        "    if not", "    if sum(values) == 6:\n        return 3\n    if not"
    ),
    "an object that equals all": (
        "class Any(float):\n    __hash__ = float.__hash__\n\n"
        "    def __eq__(self, other):\n        return isinstance(other, object)\n\n\n"
        + CALC.replace("return sum(values) / (len(values) - 1)", "return Any(sum(values))")
    ),
    "a look at the command": CALC.replace(
        "(len(values) - 1)",
        "(len(values) - ('pytest' not in open('/proc/self/cmdline').read()))",
    ),
}


@pytest.mark.parametrize("form", WRONG)
def test_a_wrong_change_is_not_proved(proofs: Proofs, form: str) -> None:
    evidence = proofs.of({"calc.py": WRONG[form]})
    assert evidence.verdict is Verdict.UNPROVED
    assert "test_mean[values0-3]" in evidence.problem


def test_the_issues_example_has_to_turn_green(proofs: Proofs) -> None:
    issue = "mean([10, 20]) returns 30.0 instead of 15"
    right, wrong = proofs.of({"calc.py": FIXED}, issue), proofs.of(
        {"calc.py": CALC.replace("- 1)", "- (len(values) == 3))")}, "mean([1, 1, 1]) should be 1"
    )  # fmt: skip
    assert right.verdict is Verdict.PROVED
    assert {shown.author for shown in right.reproduction} == {"existing", "issue"}
    assert wrong.verdict is Verdict.UNPROVED
    assert "The issue's own example fails with the change as well" in wrong.problem


OWN = "from calc import mean\n\n\ndef test_ten():\n    assert mean([10, 30]) == 20\n"


def test_what_the_model_wrote_first_is_known_from_the_log(proofs: Proofs) -> None:
    own = {"tests/test_own.py": OWN}
    evidence = proofs.of({"calc.py": FIXED, **own}, first=own)
    authors = {shown.test: shown.author for shown in evidence.reproduction}
    assert authors["tests/test_own.py::test_ten"] == "model_first"
    late = proofs.of({"calc.py": FIXED, **own})
    authors = {shown.test: shown.author for shown in late.reproduction}
    assert authors["tests/test_own.py::test_ten"] == "model"


def test_no_fault_of_the_proof_loses_a_patch(
    proofs: Proofs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr(verifying.reproduction, "by_first", broken)
    evidence = proofs.of({"calc.py": FIXED})
    assert evidence.verdict is Verdict.UNPROVED
    assert evidence.problem == "The proof itself failed: KeyError: 'lost'"


@pytest.mark.parametrize(
    "body",
    [
        "    " + "\n    el".join(f"if values == {n}:\n        return {n}" for n in range(300)),
        "    total = " + " + ".join(str(n) for n in range(990)),
        "    text = ''" + ".strip()" * 500,
    ],
    ids=["elif", "sum", "calls"],
)
def test_deep_code_is_ordinary(proofs: Proofs, body: str) -> None:
    evidence = proofs.of({"calc.py": FIXED.replace("    if not", f"{body}\n    if not")})
    assert "itself failed" not in evidence.problem
    assert json.loads(evidence.model_dump_json())["scope"] == "full"


def test_tests_that_become_a_link_lose_nothing(proofs: Proofs) -> None:
    tests = proofs.repository / "tests"
    git(proofs.repository, "rm", "-rq", "tests")
    tests.symlink_to(".")
    git(proofs.repository, "add", "-A")
    change = git(proofs.repository, "diff", "--cached", "--binary", "--no-renames")
    git(proofs.repository, "reset", "-q", "--hard")
    evidence = verify(proofs.workspace, change, baseline=proofs.baseline)
    assert evidence.verdict in (Verdict.UNPROVED, Verdict.REFUTED)
    assert "itself failed" not in evidence.problem
