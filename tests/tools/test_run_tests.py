from __future__ import annotations

import pytest

from reapair.sandbox.base import Sandbox
from support.workspaces import fill

from .conftest import RUNNER, calling

pytestmark = pytest.mark.slow


def test_what_changed_since_the_baseline_and_the_last_run(slug: Sandbox) -> None:
    call = calling(slug, RUNNER.run(slug, "all", 60))
    slug.write("tests/test_new.py", b"def test_new():\n    assert False\n")
    call("edit", path="slug/core.py", old_str="separator.join", new_str="'+'.join")
    text = call("run_tests", selector="all").text
    assert text.endswith(
        "all: 3 failed\n\n"
        "Against the untouched repository: 1 newly failing (tests/test_core.py::test_simple); "
        "1 failing as before (tests/test_core.py::test_dots); "
        "1 new and failing (tests/test_new.py::test_new)"
    )
    call("edit", path="slug/core.py", old_str="'+'.join", new_str="separator.join")
    text = call("run_tests", selector="tests/test_core.py").text
    assert text.endswith(
        "Against your last run: 1 newly passing (tests/test_core.py::test_simple); "
        "1 failing as before (tests/test_core.py::test_dots)"
    )


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        (
            "tests/test_cor.py",
            "there is no tests/test_cor.py. Test files near it: tests/test_core.py.",
        ),
        ("test_core.py::test_dots", "Test files near it: tests/test_core.py."),
        ("nonsense", "Test files near it: tests/test_core.py."),
        (
            "tests/test_core.py::test_dot",
            "there is no tests/test_core.py::test_dot. Tests like it: "
            "tests/test_core.py::test_dots",
        ),
        ("tests/test_core.py::zzz", "Tests like it: tests/test_core.py::test_simple"),
        ("slug", "No tests were run: there are none in slug."),
        ("../x", "lies outside the repository"),
    ],
)
def test_a_selector_that_names_no_test(shared_slug: Sandbox, selector: str, words: str) -> None:
    observation = calling(shared_slug)("run_tests", selector=selector)
    assert not observation.ok
    assert words in observation.text


@pytest.mark.parametrize("selector", [" ALL ", "tests/", "/testbed/tests"])
def test_selectors_are_taken_as_they_are_meant(shared_slug: Sandbox, selector: str) -> None:
    assert (
        calling(shared_slug)("run_tests", selector=selector).data["counts"] == "1 failed, 1 passed"
    )


def test_tests_that_are_gone_are_told(slug: Sandbox) -> None:
    call = calling(slug, RUNNER.run(slug, "all", 60))
    slug.write("tests/test_core.py", b"def test_other():\n    pass\n")
    assert call("run_tests", selector="all").text == (
        "all: 1 passed\n\nAgainst the untouched repository: "
        "1 new and passing (tests/test_core.py::test_other); "
        "1 passed there and did not run now (tests/test_core.py::test_simple)"
    )


def test_a_hanging_test_and_a_crash(empty: Sandbox) -> None:
    fill(empty, {"test_h.py": "import time\n\ndef test_hang():\n    time.sleep(600)\n"})
    call = calling(empty)
    assert call("run_tests", selector="all", timeout=3).text == (
        "FAILED test_h.py::test_hang\nIt was still running when the time was up.\n\n"
        "all: 1 failed\nThe run was ended after 3 seconds in test_h.py::test_hang; "
        "later tests did not run."
    )
    empty.write("test_h.py", b"import os\n\ndef test_crash():\n    os._exit(7)\n")
    assert call("run_tests", selector="all").text.endswith(
        "all: 1 failed\nThe test process ended with exit code 7."
    )


def test_a_file_that_cannot_be_imported(empty: Sandbox) -> None:
    fill(empty, {"test_b.py": "import nowhere\n", "test_a.py": "def test_a():\n    pass\n"})
    assert calling(empty)("run_tests", selector="all").text == (
        "ERROR test_b.py\n"
        "ImportError while importing test module '/testbed/test_b.py'.\n"
        "Hint: make sure your test modules/packages have valid Python names.\n"
        "Traceback:\n"
        "test_b.py:1: in <module>\n"
        "    import nowhere\n"
        "E   ModuleNotFoundError: No module named 'nowhere'\n\n"
        "all: 1 error, 1 passed"
    )


def test_a_suite_that_does_not_start(empty: Sandbox) -> None:
    fill(empty, {"conftest.py": "import nowhere\n", "test_a.py": "def test_a():\n    pass\n"})
    text = calling(empty)("run_tests", selector="all").text
    assert text.startswith("No tests were run (exit code 4).\nImportError while loading conftest")
    assert "No module named 'nowhere'" in text


def test_many_failures_are_bounded(empty: Sandbox) -> None:
    body = "import pytest\n\n@pytest.mark.parametrize('n', range(300))\ndef test_n(n):\n"
    fill(empty, {"test_n.py": body + "    print('x' * 5000)\n    assert n == -1\n"})
    text = calling(empty)("run_tests", selector="all").text
    assert len(text.encode()) <= 12_000
    assert text.startswith("FAILED test_n.py::test_n[0]\ntest_n.py:6: in test_n\n")
    assert "and 272 more" in text
    assert text.endswith("all: 300 failed")
