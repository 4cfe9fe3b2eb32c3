from __future__ import annotations

import pytest

from reapair.sandbox.base import Sandbox
from reapair.tools import TestRunner
from support.workspaces import fill

pytestmark = pytest.mark.slow

QUICK = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest"
"""Without the plugins that happen to be installed beside us: they take seconds to load."""

PLAIN = TestRunner(QUICK)

SUITE = {
    "tests/test_all.py": """
import sys
import unittest

import pytest


@pytest.fixture
def broken():
    raise RuntimeError("no database")


@pytest.fixture
def breaks_later():
    yield
    raise RuntimeError("cannot close")


def test_pass():
    pass


def test_fail():
    print("captured words")
    sys.stderr.write("captured warning")
    assert {"a": 1} == {"a": 2}


def test_setup(broken):
    pass


def test_teardown(breaks_later):
    pass


@pytest.mark.skip(reason="not now")
def test_skip():
    pass


@pytest.mark.xfail
def test_expected():
    assert 0


@pytest.mark.parametrize("value", ["a b", "x::y", "[]", "é"])
def test_parameters(value):
    assert value != "x::y"


class TestGroup:
    class TestInner:
        def test_method(self):
            pass


class Old(unittest.TestCase):
    def test_parts(self):
        for i in range(2):
            with self.subTest(i=i):
                self.assertEqual(i, 0)
""",
    "tests/test_broken.py": "import nowhere_to_be_found\n",
    "tests/test_syntax.py": "def test_x(:\n",
}


def test_every_outcome_by_its_node_id(empty: Sandbox) -> None:
    fill(empty, SUITE)
    report = PLAIN.run(empty, "all", 60)
    here = "tests/test_all.py::"
    assert report.statuses == {
        f"{here}Old::test_parts": "failed",
        f"{here}TestGroup::TestInner::test_method": "passed",
        f"{here}test_expected": "skipped",
        f"{here}test_fail": "failed",
        f"{here}test_parameters[[]]": "passed",
        f"{here}test_parameters[\\xe9]": "passed",
        f"{here}test_parameters[a b]": "passed",
        f"{here}test_parameters[x::y]": "failed",
        f"{here}test_pass": "passed",
        f"{here}test_setup": "error",
        f"{here}test_skip": "skipped",
        f"{here}test_teardown": "error",
        "tests/test_broken.py": "error",
        "tests/test_syntax.py": "error",
    }
    assert list(report.statuses) == sorted(report.statuses)
    assert (report.exit_code, report.collected_ok, report.timed_out) == (1, False, False)
    assert report.counts == "3 failed, 4 error, 5 passed, 2 skipped"
    assert report.summary() == {
        "command": QUICK,
        "error": 4,
        "failed": 3,
        "missing": 0,
        "passed": 5,
        "skipped": 2,
    }
    told = report.failures[f"{here}test_fail"]
    assert told.startswith("tests/test_all.py:26: in test_fail\n")
    assert "E   AssertionError: assert {'a': 1} == {'a': 2}" in told
    assert told.endswith(
        "Captured stdout call:\ncaptured words\nCaptured stderr call:\ncaptured warning"
    )
    assert "No module named 'nowhere_to_be_found'" in report.failures["tests/test_broken.py"]
    assert report.failures.keys() == set(report.having("failed", "error"))


def test_equal_runs_are_told_equally(empty: Sandbox) -> None:
    fill(empty, SUITE)
    assert PLAIN.run(empty, "all", 60) == PLAIN.run(empty, "all", 60)


@pytest.mark.parametrize(
    ("selector", "number"),
    [
        ("tests", 14),
        ("tests/test_all.py", 12),
        ("tests/test_all.py::test_pass", 1),
        ("tests/test_all.py::test_parameters", 4),
        ("tests/test_all.py::test_parameters[a b]", 1),
        ("tests/test_all.py::TestGroup", 1),
    ],
)
def test_selectors(empty: Sandbox, selector: str, number: int) -> None:
    fill(empty, SUITE)
    report = TestRunner(f"{QUICK} -x tests").run(empty, selector, 60)
    assert len(report.statuses) == number


def test_frames_outside_of_the_repository_are_left_out(empty: Sandbox) -> None:
    fill(empty, {"test_a.py": "import json\n\ndef test_a():\n    json.loads('{')\n"})
    told = PLAIN.run(empty, "all", 60).failures["test_a.py::test_a"]
    assert told == (
        "test_a.py:4: in test_a\n    json.loads('{')\n"
        "E   json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)"
    )


@pytest.mark.parametrize(
    "configuration",
    [
        {
            "pytest.ini": "[pytest]\naddopts = -q -q --tb=no --no-header --maxfail=1 "
            "-p no:cacheprovider\n"
        },
        {"pytest.ini": "[pytest]\naddopts = -k test_b --lf --sw\n"},
        {"tox.ini": "[pytest]\naddopts = --co\n"},
        {"setup.cfg": "[tool:pytest]\naddopts = -x --tb=native -rN --capture=no\n"},
        {
            "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-q --junitxml=x.xml'\n"
            "testpaths = ['tests']\n"
        },
    ],
)
def test_settings_cannot_hide_tests(empty: Sandbox, configuration: dict[str, str]) -> None:
    body = "def test_a():\n    assert 0\n\ndef test_b():\n    assert 0\n\ndef test_c():\n    pass\n"
    fill(empty, {"tests/test_a.py": body, **configuration})
    report = PLAIN.run(empty, "all", 60)
    assert report.counts == "2 failed, 1 passed"
    assert "E   assert 0" in report.failures["tests/test_a.py::test_a"]


@pytest.mark.parametrize(
    "command",
    [
        "pytest",
        "cd backend && python -m pytest -q tests",
        "PYTHONPATH=src python -m pytest backend/tests -k 'test' | cat",
        "make -s check",
        "./run.sh # all of them",
    ],
)
def test_any_command_that_ends_in_pytest_is_understood(empty: Sandbox, command: str) -> None:
    fill(
        empty,
        {
            "backend/tests/test_a.py": "def test_a():\n    assert 0\n\ndef test_b():\n    pass\n",
            "backend/pytest.ini": "[pytest]\n",
            "Makefile": "check:\n\t@cd backend && python -m pytest\n",
            "run.sh": "#!/bin/sh\nexec python -m pytest backend\n",
        },
    )
    empty.exec("chmod +x run.sh")
    if command.startswith("make") and not empty.exec("command -v make").ok:
        pytest.skip("make is not installed")
    runner = TestRunner(f"export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1; {command}")
    expected = {
        "backend/tests/test_a.py::test_a": "failed",
        "backend/tests/test_a.py::test_b": "passed",
    }
    assert runner.run(empty, "all", 60).statuses == expected
    one = runner.run(empty, "backend/tests/test_a.py::test_b", 60)
    assert one.statuses == {"backend/tests/test_a.py::test_b": "passed"}


def test_a_pytest_that_cannot_load_the_recorder(empty: Sandbox) -> None:
    fill(
        empty,
        {
            "Makefile": f"check:\n\t@PYTHONPATH=src {QUICK}\n",
            "src/lib.py": "value = 1\n",
            "test_a.py": "import lib\n\ndef test_a():\n    assert lib.value == 2\n\n"
            "def test_b():\n    pass\n",
            "test_c.py": "import nowhere\n",
        },
    )
    report = TestRunner("make -s check").run(empty, "all", 60)
    assert report.statuses == {
        "test_a.py::test_a": "failed",
        "test_a.py::test_b": "passed",
        "test_c.py": "error",
    }
    assert report.failures["test_a.py::test_a"] == "assert 1 == 2"
    assert not report.collected_ok


def test_a_hanging_test_is_named(empty: Sandbox) -> None:
    fill(
        empty,
        {
            "test_h.py": "import time\n\ndef test_a():\n    pass\n\n"
            "def test_hang():\n    time.sleep(600)\n\n"
            "def test_z():\n    pass\n"
        },
    )
    report = PLAIN.run(empty, "all", 4)
    assert (report.timed_out, report.exit_code) == (True, None)
    assert report.hanging == "test_h.py::test_hang"
    assert report.statuses == {"test_h.py::test_a": "passed", "test_h.py::test_hang": "failed"}
    assert report.failures["test_h.py::test_hang"] == "It was still running when the time was up."


def test_a_crashing_test_is_named(empty: Sandbox) -> None:
    fill(
        empty,
        {
            "test_c.py": "import os\n\ndef test_a():\n    pass\n\n"
            "def test_exit():\n    os._exit(42)\n"
        },
    )
    report = PLAIN.run(empty, "all", 60)
    assert report.statuses == {"test_c.py::test_a": "passed", "test_c.py::test_exit": "failed"}
    assert report.exit_code == 42
    assert "(exit code 42)" in report.failures["test_c.py::test_exit"]


def test_no_tests_and_a_broken_conftest(empty: Sandbox) -> None:
    fill(empty, {"a.py": ""})
    nothing = PLAIN.run(empty, "all", 60)
    assert (nothing.statuses, nothing.exit_code) == ({}, 5)
    empty.write("conftest.py", b"import nowhere\n")
    broken = PLAIN.run(empty, "all", 60)
    assert (broken.statuses, broken.collected_ok) == ({}, False)
    assert "No module named 'nowhere'" in broken.output_tail


def test_tests_that_run_pytest_themselves_do_not_report_twice(empty: Sandbox) -> None:
    inner = "import subprocess, sys, os\n\ndef test_outer():\n"
    inner += (
        "    assert 'REAPAIR_FOLDER' not in os.environ and 'PYTEST_ADDOPTS' not in os.environ\n"
    )
    inner += (
        "    assert subprocess.run([sys.executable, '-m', 'pytest', 'inner.py']).returncode == 1\n"
    )
    fill(empty, {"test_o.py": inner, "inner.py": "def test_inner():\n    assert 0\n"})
    for selector in ("all", "test_o.py"):
        report = PLAIN.run(empty, selector, 60)
        assert report.statuses == {"test_o.py::test_outer": "passed"}, report.output_tail


def test_a_report_that_a_test_has_written_into_does_no_harm(empty: Sandbox) -> None:
    forge = "import glob\n\ndef test_a():\n    for path in glob.glob('/tmp/tests.*/report'):\n"
    forge += "        with open(path, 'a') as stream:\n            stream.write("
    forge += '\'x\\n[]\\n{"kind": "report", "output": 5}\\n{"id": "\\\\ud800"}\\n\')\n'
    fill(empty, {"test_f.py": forge})
    assert PLAIN.run(empty, "all", 60).statuses == {"test_f.py::test_a": "passed"}


def test_nothing_is_left_in_the_repository(slug: Sandbox) -> None:
    PLAIN.run(slug, "all", 60)
    assert slug.exec("git status --porcelain --ignored; ls /tmp | grep tests").stdout == b""


UNITTEST = '''import unittest


class TestA(unittest.TestCase):
    def test_ok(self):
        print("noise")

    def test_bad(self):
        """What it is about."""
        self.assertEqual(1, 2)

    def test_error(self):
        raise ValueError("x")

    @unittest.skip("later")
    def test_skipped(self):
        pass

    @unittest.expectedFailure
    def test_expected(self):
        self.fail()
'''


def test_unittest_is_understood(empty: Sandbox) -> None:
    fill(empty, {"tests/__init__.py": "", "tests/test_u.py": UNITTEST})
    runner = TestRunner("python -m unittest discover -v")
    report = runner.run(empty, "all", 60)
    here = "tests.test_u.TestA."
    assert report.statuses == {
        f"{here}test_bad": "failed",
        f"{here}test_error": "error",
        f"{here}test_expected": "skipped",
        f"{here}test_ok": "passed",
        f"{here}test_skipped": "skipped",
    }
    assert report.failures[f"{here}test_bad"].endswith("AssertionError: 1 != 2")
    one = runner.run(empty, "tests/test_u.py::TestA::test_ok", 60)
    assert one.statuses == {f"{here}test_ok": "passed"}
    assert runner.run(empty, "tests/test_u.py", 60).statuses == report.statuses


def test_unittest_without_an_importable_file(empty: Sandbox) -> None:
    fill(empty, {"test_x.py": "import nowhere\n"})
    report = TestRunner("python -m unittest discover -v").run(empty, "all", 60)
    assert report.statuses == {"unittest.loader._FailedTest.test_x": "error"}
    assert not report.collected_ok


def test_without_pytest_unittest_is_taken(empty: Sandbox) -> None:
    fill(empty, {"tests/__init__.py": "", "tests/test_u.py": UNITTEST, "pytest.py": PRETEND})
    report = TestRunner().run(empty, "all", 60)
    assert report.command == "python -m unittest discover -v"
    assert report.counts == "1 failed, 1 error, 1 passed, 2 skipped"


PRETEND = "raise SystemExit('python: No module named pytest')\n"


@pytest.mark.parametrize(("exit_code", "status"), [(0, "passed"), (3, "failed")])
def test_another_command_is_one_test(empty: Sandbox, exit_code: int, status: str) -> None:
    command = f"echo checking; exit {exit_code}"
    report = TestRunner(command).run(empty, "all", 60)
    assert report.statuses == {command: status}
    assert report.exit_code == exit_code
    assert report.failures == ({command: "checking"} if exit_code else {})
