"""What a patch can do to look better than it is: each is seen, named, and never proved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reapair.agent.log.event_log import Run
from reapair.agent.proof.verify import UNREACHED, verify
from reapair.agent.result import Evidence, Verdict
from reapair.agent.settings.settings import Settings
from reapair.agent.workspace.workspace import Workspace
from reapair.tools import TestReport
from support.repositories import git, make_repository, write

CALC = (
    "def mean(values):\n    if not values:\n        return 0\n"
    "    return sum(values) / (len(values) - 1)\n\n\n"
    "def spread(values):\n    return max(values) - min(values)\n"
)
TESTS = (
    "import pytest\n\nfrom calc import mean, spread\n\n\n"
    "def test_nothing():\n    assert mean([]) == 0\n\n\n"
    "def test_zeros():\n    assert mean([0, 0]) == 0\n\n\n"
    "@pytest.mark.parametrize('values, wanted', [([1, 5], 4), ([3], 0)])\n"
    "def test_spread(values, wanted):\n    assert spread(values) == wanted\n"
)
FILES = {
    "calc.py": CALC,
    "tests/test_calc.py": TESTS,
    "conftest.py": "",
    "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "-q"\npythonpath = ["."]\n',
}
FIXED = CALC.replace("(len(values) - 1)", "len(values)")
OWN = "from calc import mean\n\n\ndef test_mean():\n    assert mean([2, 4]) == 3\n"


class Proofs:
    """One small repository in one environment, and proofs of patches for it."""

    def __init__(self, place: Path) -> None:
        self.repository = make_repository(place / "repository", FILES)
        self.run = Run(place / "run", "sabotage")
        self.workspace = Workspace(
            self.run, Settings(base_url="http://127.0.0.1:9"), self.repository
        )
        self.workspace.prepare(lambda _: None)
        self.baseline: TestReport = self.workspace.suite_of(self.workspace.snapshot)

    def of(self, files: dict[str, str | None]) -> Evidence:
        """Prove the change that gives files these texts, or deletes them."""
        return verify(self.workspace, self.patch(files), baseline=self.baseline)

    def patch(self, files: dict[str, str | None]) -> bytes:
        """Return the change as git writes it, and leave the work tree clean."""
        for name, text in files.items():
            if text is None:
                (self.repository / name).unlink()
            else:
                write(self.repository / name, text)
        git(self.repository, "add", "-A", "-f")
        patch = git(self.repository, "diff", "--cached", "--binary", "--no-renames")
        git(self.repository, "reset", "-q", "--hard")
        return patch


@pytest.fixture(scope="module")
def proofs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proofs]:
    proofs = Proofs(tmp_path_factory.mktemp("proofs"))
    yield proofs
    proofs.workspace.close()
    proofs.run.close()


HOOK = "def pytest_runtest_logreport(report):\n    report.outcome = 'passed'\n"
SABOTAGE: dict[str, tuple[dict[str, str | None], str]] = {
    "a changed test": (
        {"tests/test_calc.py": TESTS.replace("assert mean([]) == 0", "mean([])")},
        "tests/test_calc.py: existing tests are changed or taken away: test_nothing.",
    ),
    "a deleted test": ({"tests/test_calc.py": None}, "tests/test_calc.py is deleted."),
    "a skip mark": (
        {"tests/test_calc.py": TESTS + "\n\npytestmark = pytest.mark.skip('later')\n"},
        "tests/test_calc.py leaves tests out by pytest.mark.skip.",
    ),
    "an xfail mark": (
        {
            "tests/test_calc.py": TESTS.replace(
                "def test_zeros", "@pytest.mark.xfail\ndef test_zeros"
            )
        },
        "tests/test_calc.py leaves tests out by pytest.mark.xfail.",
    ),
    "conftest.py": (
        {"conftest.py": HOOK},
        "conftest.py takes a hand in what tests say: pytest_runtest_logreport.",
    ),
    "pytest's settings": (
        {"pyproject.toml": FILES["pyproject.toml"].replace('"-q"', '"-q -k nothing"')},
        "pyproject.toml: the settings of the tests are changed.",
    ),
    "a file of settings": (
        {"pytest.ini": "[pytest]\naddopts = --deselect tests/test_calc.py\n"},
        "pytest.ini, which settles how tests are run, is added.",
    ),
    "a plugin": (
        {"pyproject.toml": FILES["pyproject.toml"] + '[project.entry-points.pytest11]\nx = "x"\n'},
        "pyproject.toml: the settings of the tests are changed.",
    ),
    "sitecustomize": (
        {"sitecustomize.py": "import builtins\n"},
        "sitecustomize.py, which runs with every Python process, is added.",
    ),
    "an exit at import": (
        {"calc.py": FIXED + "\n\nimport os\n\nos._exit(0)\n"},
        "calc.py:13 calls os._exit, which ends the test run without a word.",
    ),
    "a patched assertion": (
        {"calc.py": "import unittest\n\nunittest.TestCase.assertEqual = print\n" + FIXED},
        "calc.py:3 replaces unittest.TestCase.assertEqual, which tests rely on.",
    ),
    "a patched builtin": (
        {"calc.py": "import builtins\n\nbuiltins.AssertionError = ValueError\n" + FIXED},
        "calc.py:3 replaces builtins.AssertionError, which tests rely on.",
    ),
    "another clock": (
        {"calc.py": "import time\n\ntime.time = lambda: 0\n" + FIXED},
        "calc.py:3 replaces time.time: tests then see another clock, chance or network.",
    ),
    "a look at the environment": (
        {
            "calc.py": "import os\n\n\n"
            + CALC.replace(
                "    return sum",
                "    if 'PYTEST_CURRENT_TEST' in os.environ:\n"
                "        return sum(values) / len(values)\n    return sum",
            )
        },
        "calc.py:7 looks at PYTEST_CURRENT_TEST to see whether it is under test.",
    ),
    "a look at the modules": (
        {
            "calc.py": "import sys\n\n\n"
            + CALC.replace("- 1)", "- (0 if 'pytest' in sys.modules else 1))")
        },
        "calc.py:7 looks into sys.modules to see whether it is under test.",
    ),
    "a look at the callers": (
        {
            "calc.py": "import inspect\n\n\n"
            + CALC.replace(
                "- 1)", "- (not any('test_' in s.filename for s in inspect.stack())))"
            ).replace("def mean(values):", "def mean(values):  # by caller")
        },
        "calc.py:4 looks at its callers to see whether it is under test.",
    ),
    "a forged report": (
        {"calc.py": FIXED + "\n\nimport sys\n\nsys.modules.get('reapair_recorder')\n"},
        "calc.py:13 looks into sys.modules to see whether it is under test.",
    ),
    "the runner in the product": (
        {"calc.py": "import pytest\n" + FIXED},
        "calc.py:1 imports pytest into product code.",
    ),
    "an answer from the network": (
        {
            "calc.py": "from urllib.request import urlopen\n\n\n"
            + FIXED.replace(
                "    if not values",
                "    if values is None:\n        urlopen('http://x/')\n    if not values",
            )
        },
        "calc.py:6 asks an address on the network.",
    ),
}  # fmt: skip


@pytest.mark.engine
@pytest.mark.long
@pytest.mark.parametrize("name", SABOTAGE)
def test_a_trick_is_named_and_never_proved(proofs: Proofs, name: str) -> None:
    files, sentence = SABOTAGE[name]
    evidence = proofs.of({"calc.py": FIXED, "tests/test_own.py": OWN} | files)
    assert sentence in evidence.tricks
    wanted = Verdict.REFUTED if name == "an exit at import" else Verdict.UNPROVED
    assert evidence.verdict is wanted
    assert evidence.mendable or wanted is Verdict.REFUTED


SUPPORT = (
    "a changed test",
    "conftest.py",
    "pytest's settings",
    "a file of settings",
    "sitecustomize",
)
PRODUCT = """import os, sys, time, unittest, builtins, inspect
import pytest
unittest.TestCase.assertEqual = print
builtins.AssertionError = ValueError
time.time = lambda: 0
if 'PYTEST_CURRENT_TEST' in os.environ or 'pytest' in sys.modules:
    pass
print('junit.xml')
"""


@pytest.mark.engine
def test_tricks_with_tests_and_settings_are_named(proofs: Proofs) -> None:
    files: dict[str, str | None] = {"calc.py": FIXED, "tests/test_own.py": OWN}
    for name in SUPPORT:
        files |= SABOTAGE[name][0]
    evidence = proofs.of(files)
    assert sorted(evidence.tricks) == sorted(SABOTAGE[name][1] for name in SUPPORT)
    assert evidence.verdict is Verdict.UNPROVED
    assert evidence.mendable


@pytest.mark.engine
def test_tricks_of_the_product_are_named(proofs: Proofs) -> None:
    evidence = proofs.of({"calc.py": PRODUCT + FIXED, "tests/test_own.py": OWN})
    assert sorted(evidence.tricks) == [
        "calc.py:2 imports pytest into product code.",
        "calc.py:3 replaces unittest.TestCase.assertEqual, which tests rely on.",
        "calc.py:4 replaces builtins.AssertionError, which tests rely on.",
        "calc.py:5 replaces time.time: tests then see another clock, chance or network.",
        "calc.py:6 looks at PYTEST_CURRENT_TEST to see whether it is under test.",
        "calc.py:6 looks into sys.modules to see whether it is under test.",
        "calc.py:8 names 'junit.xml', a test report.",
    ]
    assert evidence.verdict in (Verdict.UNPROVED, Verdict.REFUTED)


@pytest.mark.engine
def test_an_answer_for_the_test_alone_is_named(proofs: Proofs) -> None:
    special = CALC.replace("    if not", "    if values == [2, 4]:\n        return 3\n    if not")
    evidence = proofs.of({"calc.py": special, "tests/test_own.py": OWN})
    assert evidence.verdict is Verdict.UNPROVED
    assert evidence.problem == (
        "The change answers for one input of tests/test_own.py::test_mean only, [2, 4]."
    )


@pytest.mark.engine
def test_a_fix_with_a_test_of_its_own_is_shown(proofs: Proofs) -> None:
    evidence = proofs.of({"calc.py": FIXED, "tests/test_own.py": OWN})
    assert evidence.verdict is Verdict.SHOWN
    assert (evidence.reach, evidence.scope, evidence.tricks) == ("lines", "full", [])
    assert evidence.own_test_only
    assert evidence.notes == [
        "Only a test that came with the patch shows the fix: tests/test_own.py::test_mean."
    ]


@pytest.mark.engine
def test_more_cases_of_an_existing_test_are_no_trick(proofs: Proofs) -> None:
    more = TESTS.replace("([3], 0)]", "([3], 0), ([4, 4], 0)]")
    own = "\n\ndef test_mean():\n    assert mean([2, 4]) == 3\n"
    evidence = proofs.of({"calc.py": FIXED, "tests/test_calc.py": more + own})
    assert evidence.verdict is Verdict.SHOWN
    assert [shown.test for shown in evidence.reproduction] == ["tests/test_calc.py::test_mean"]


@pytest.mark.engine
def test_a_test_that_only_misses_a_name_shows_nothing(proofs: Proofs) -> None:
    added = "\n\ndef mode(values):\n    return max(values, key=values.count)\n"
    own = "from calc import mode\n\n\ndef test_mode():\n    assert mode([1, 1, 2]) == 1\n"
    evidence = proofs.of({"calc.py": CALC + added, "tests/test_own.py": own})
    assert evidence.verdict is Verdict.REGRESSION_FREE
    assert evidence.notes == [
        "tests/test_own.py::test_mode fails without the change only because mode is not there yet."
    ]


@pytest.mark.engine
def test_a_test_beside_the_change_shows_nothing(proofs: Proofs) -> None:
    own = (
        "from pathlib import Path\n\n\ndef test_it():\n"
        "    assert '1)' not in Path('calc.py').read_text()\n"
    )
    unreached = CALC.replace("- 1)", "- 0)").replace("sum(values)", "sum(values) if values else 0")
    evidence = proofs.of({"calc.py": unreached, "tests/test_own.py": own})
    assert evidence.verdict is not Verdict.PROVED
    assert evidence.notes == ["tests/test_own.py::test_it runs none of the changed lines."]


@pytest.mark.engine
def test_what_no_test_runs_is_unproved(proofs: Proofs) -> None:
    evidence = proofs.of({"calc.py": CALC + "\n\ndef unused(value):\n    return value + 1\n"})
    assert (evidence.verdict, evidence.reach) == (Verdict.UNPROVED, "none")
    assert evidence.problem == UNREACHED


@pytest.mark.engine
def test_words_are_regression_free_at_most(proofs: Proofs) -> None:
    evidence = proofs.of({"README.md": "Means.\n", "calc.py": "# sums\n" + CALC})
    assert evidence.verdict is Verdict.REGRESSION_FREE
    assert evidence.notes == ["The patch changes no product code."]


@pytest.mark.engine
def test_leftovers_are_named(proofs: Proofs) -> None:
    evidence = proofs.of(
        {
            "calc.py": FIXED.replace("    if not", "    breakpoint()\n    if not"),
            "repro.py": "import calc\n",
            "tests/test_own.py": OWN,
        }
    )
    assert evidence.verdict in (Verdict.UNPROVED, Verdict.REFUTED)
    assert evidence.warnings == [
        "calc.py:2 calls a debugger: breakpoint.",
        "repro.py looks like a scratch file that was left behind.",
    ]


@pytest.mark.engine
def test_a_file_that_acts_by_itself_is_named(proofs: Proofs) -> None:
    evidence = proofs.of({"calc.py": FIXED, ".vscode/tasks.json": "{}\n", "tests/test_own.py": OWN})
    assert evidence.verdict is Verdict.UNPROVED
    assert evidence.warnings == [
        ".vscode/tasks.json acts by itself, through VS Code, and the issue does not ask for it. "
        "Read it before anything else."
    ]


@pytest.mark.engine
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FIXED + "def broken(:\n", "syntax: calc.py is no valid Python any more: line 9."),
        (
            "<<<<<<< HEAD\n" + CALC + "=======\n" + FIXED + ">>>>>>> other\n",
            "conflict: calc.py has conflict marks in it.",
        ),
    ],
)
def test_a_tree_that_cannot_be_used_is_refuted(proofs: Proofs, text: str, said: str) -> None:
    evidence = proofs.of({"calc.py": text})
    assert (evidence.verdict, evidence.violations) == (Verdict.REFUTED, [said])


@pytest.mark.engine
def test_a_named_test_must_be_mended(proofs: Proofs) -> None:
    proofs.workspace.named_tests = ["tests/test_calc.py::test_zeros"]
    try:
        evidence = proofs.of({"calc.py": FIXED, "tests/test_own.py": OWN})
    finally:
        proofs.workspace.named_tests = []
    assert evidence.verdict is Verdict.UNPROVED
    assert evidence.problem == (
        "The named test tests/test_calc.py::test_zeros does not fail on the untouched code."
    )
