"""The recorder reports what the runner itself reports, whatever the tests do to the process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reapair.sandbox.base import Sandbox
from reapair.sandbox.host.no_sandbox import NoSandbox
from reapair.tools import TestRunner
from support.workspaces import fill

pytestmark = pytest.mark.slow

PYTEST = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q"


@pytest.fixture
def empty() -> Iterator[Sandbox]:
    with NoSandbox("test") as sandbox:
        yield sandbox


REPLACED = {
    "builtins.open": "import builtins\nNAME = (builtins, 'open')",
    "json.dumps": "import json\nNAME = (json, 'dumps')",
    "the whole JSON encoder": "import json\nNAME = (json.JSONEncoder, 'encode')",
    "os.path.join": "import os\nNAME = (os.path, 'join')",
    "os.path.relpath": "import os\nNAME = (os.path, 'relpath')",
    "os.path.realpath": "import os\nNAME = (os.path, 'realpath')",
    "os.open": "import os\nNAME = (os, 'open')",
    "os.write": "import os\nNAME = (os, 'write')",
    "io.open": "import io\nNAME = (io, 'open')",
}

BODY = """


def refuse(*args, **kwargs):
    raise OSError('replaced')


def test_while_it_is_replaced(monkeypatch):
    monkeypatch.setattr(NAME[0], NAME[1], refuse)


def test_after():
    pass
"""


@pytest.mark.parametrize("replaced", REPLACED)
def test_names_that_a_test_replaces_do_not_reach_the_recorder(
    empty: Sandbox, replaced: str
) -> None:
    fill(empty, {"test_it.py": REPLACED[replaced] + BODY})
    report = TestRunner(PYTEST).run(empty, "all", 60)
    assert report.statuses == {
        "test_it.py::test_after": "passed",
        "test_it.py::test_while_it_is_replaced": "passed",
    }
    assert not report.inconsistent


@pytest.mark.parametrize(
    "lines",
    [
        "import os; os.closerange(3, 256)",
        "import os; os.closerange(3, 256); f = [open('o%d' % i, 'w') for i in range(40)]",
        "import os, tempfile; d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)",
        "import os; os.umask(0o777)",
        "import os; os.environ.clear()",
    ],
)
def test_a_test_may_close_or_remove_what_the_process_has(empty: Sandbox, lines: str) -> None:
    fill(empty, {"test_it.py": f"def test_it():\n    {lines}\n\n\ndef test_after():\n    pass\n"})
    # Without capturing, which needs descriptors of its own.
    report = TestRunner(f"{PYTEST} -s").run(empty, "all", 60)
    assert report.counts == "2 passed", report.output_tail
    assert empty.exec("cat o* 2>/dev/null").text == ""


def test_encoding_warnings_as_errors(empty: Sandbox) -> None:
    fill(empty, {"test_e.py": "def test_a():\n    pass\n"})
    command = f"PYTHONWARNDEFAULTENCODING=1 {PYTEST} -W error"
    assert TestRunner(command).run(empty, "all", 60).counts == "1 passed"


CASES = '''import unittest


class T(unittest.TestCase):
    def test_add(self):
        """First line of a description."""
        self.assertEqual(1 + 1, 3)

    def test_fine(self):
        pass

    def test_error(self):
        raise KeyError("x")

    @unittest.skip("later")
    def test_later(self):
        pass

    def test_parts(self):
        for number in (1, 2):
            with self.subTest(number=number):
                self.assertEqual(number, 1)


class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise RuntimeError("no database")

    def test_never(self):
        pass


class Nested(unittest.TestCase):
    def test_runs_a_suite_of_its_own(self):
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(Inner)
        result = unittest.TestResult()
        suite.run(result)
        self.assertEqual(len(result.failures), 1)


class Inner(unittest.TestCase):
    def test_inner(self):
        self.fail()

    def __init__(self, name="test_inner"):
        super().__init__(name)


def load_tests(loader, tests, pattern):
    chosen = (T, Broken, Nested)
    return unittest.TestSuite(map(loader.loadTestsFromTestCase, chosen))
'''

STATUSES = {
    "test_calc.Broken.setUpClass": "error",
    "test_calc.Nested.test_runs_a_suite_of_its_own": "passed",
    "test_calc.T.test_add": "failed",
    "test_calc.T.test_error": "error",
    "test_calc.T.test_fine": "passed",
    "test_calc.T.test_later": "skipped",
    "test_calc.T.test_parts": "failed",
}

SCRIPT = """import unittest

from test_calc import load_tests

result = unittest.TestResult()
load_tests(unittest.defaultTestLoader, None, None).run(result)
raise SystemExit(not result.wasSuccessful())
"""

MAKEFILE = "test:\n\tpython -m unittest -q 2>/dev/null\n"


@pytest.mark.parametrize(
    "command",
    [
        "python -m unittest",
        "python -m unittest -v",
        "python -m unittest discover -s . -b",
        "python -m unittest test_calc",
        "make test",
        "python run_tests.py",
        "python -W error run_tests.py",
        "sh -c 'cd . && exec python run_tests.py'",
    ],
)
def test_unittest_is_recorded_whatever_starts_it(empty: Sandbox, command: str) -> None:
    fill(empty, {"test_calc.py": CASES, "Makefile": MAKEFILE, "run_tests.py": SCRIPT})
    report = TestRunner(command).run(empty, "all", 60)
    assert report.statuses == STATUSES, report.output_tail
    assert report.failures["test_calc.T.test_add"].endswith("AssertionError: 2 != 3")


@pytest.mark.parametrize("selector", ["test_calc.T.test_fine", "test_calc.py::T::test_fine"])
@pytest.mark.parametrize("command", ["make test", "python run_tests.py", "python -m unittest"])
def test_one_unittest_can_be_selected_whatever_starts_it(
    empty: Sandbox, command: str, selector: str
) -> None:
    fill(empty, {"test_calc.py": CASES, "Makefile": MAKEFILE, "run_tests.py": SCRIPT})
    report = TestRunner(command).run(empty, selector, 60)
    assert report.statuses == {"test_calc.T.test_fine": "passed"}


def test_programs_that_a_unittest_starts_are_not_recorded(empty: Sandbox) -> None:
    text = (
        "import os, subprocess, sys, unittest\n\n\n"
        "class T(unittest.TestCase):\n"
        "    def test_it(self):\n"
        "        self.assertNotIn('tests.', os.environ.get('PYTHONPATH', ''))\n"
        "        self.assertNotIn('REAPAIR_FOLDER', os.environ)\n"
        "        call = [sys.executable, '-m', 'unittest', 'other']\n"
        "        self.assertEqual(subprocess.call(call), 1)\n"
    )
    other = "import unittest\n\n\nclass O(unittest.TestCase):\n    def test_o(self): self.fail()\n"
    fill(empty, {"test_it.py": text, "other.py": other})
    report = TestRunner("python -m unittest test_it").run(empty, "all", 60)
    assert report.statuses == {"test_it.T.test_it": "passed"}, report.output_tail


def test_a_sitecustomize_of_the_project_still_runs(empty: Sandbox) -> None:
    text = (
        "import sys, unittest\n\n\nclass T(unittest.TestCase):\n"
        "    def test_it(self):\n        self.assertTrue(sys.by_the_project)\n"
    )
    fill(
        empty,
        {"lib/sitecustomize.py": "import sys; sys.by_the_project = True\n", "test_it.py": text},
    )
    report = TestRunner("PYTHONPATH=lib python -m unittest").run(empty, "all", 60)
    assert report.statuses == {"test_it.T.test_it": "passed"}, report.output_tail


DJANGO = {
    "manage.py": (
        "import os, sys\n\nos.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\n"
        "from django.core.management import execute_from_command_line\n\n"
        "if __name__ == '__main__':\n    execute_from_command_line(sys.argv)\n"
    ),
    "settings.py": "SECRET_KEY = 'x'\nINSTALLED_APPS = ['shop']\nUSE_TZ = True\n"
    "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}\n",
    "shop/__init__.py": "",
    "shop/tests.py": (
        "from django.test import SimpleTestCase, TestCase\n\n\n"
        "class Sums(SimpleTestCase):\n"
        "    def test_right(self):\n        self.assertEqual(1 + 1, 2)\n\n"
        "    def test_wrong(self):\n        self.assertEqual(1 + 1, 3)\n\n\n"
        "class Rows(TestCase):\n    def test_connection(self):\n"
        "        from django.db import connection\n\n"
        "        self.assertTrue(connection.is_usable())\n"
    ),
}


@pytest.mark.parametrize("options", ["", " --parallel 2", " -v 0 --buffer", " --reverse"])
def test_the_runner_of_django_is_recorded(empty: Sandbox, options: str) -> None:
    pytest.importorskip("django")
    fill(empty, DJANGO)
    runner = TestRunner(f"python manage.py test{options}")
    report = runner.run(empty, "all", 120)
    assert report.statuses == {
        "shop.tests.Rows.test_connection": "passed",
        "shop.tests.Sums.test_right": "passed",
        "shop.tests.Sums.test_wrong": "failed",
    }, report.output_tail
    one = runner.run(empty, "shop/tests.py::Sums::test_right", 120)
    assert one.statuses == {"shop.tests.Sums.test_right": "passed"}


def test_nose2_is_recorded(empty: Sandbox) -> None:
    pytest.importorskip("nose2")
    fill(
        empty,
        {
            "test_calc.py": CASES.partition("def load_tests")[0]
            .replace("class Inner", "class _Inner")
            .replace("(Inner)", "(_Inner)")
        },
    )
    report = TestRunner("python -m nose2").run(empty, "all", 60)
    assert STATUSES.items() <= report.statuses.items(), report.output_tail
