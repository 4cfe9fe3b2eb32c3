"""The proof's own reading of patches; its verdicts are tested with real suites in test_solve."""

from __future__ import annotations

import pytest

from reapair.sandbox.git.patch import Patch
from reapair.tools.files import is_test_file

PATCH = b"""diff --git a/calc.py b/calc.py
--- a/calc.py
+++ b/calc.py
@@ -1 +1,2 @@
-a
+diff --git a/not b/this
+b
diff --git a/test_calc.py b/test_calc.py
new file mode 100644
--- /dev/null
+++ b/test_calc.py
@@ -0,0 +1 @@
+b
"""


def test_a_patch_is_split_at_files_only() -> None:
    parts = [file.part for file in Patch(PATCH).files]
    assert b"".join(parts) == PATCH
    assert [part.splitlines()[0] for part in parts] == [
        b"diff --git a/calc.py b/calc.py",
        b"diff --git a/test_calc.py b/test_calc.py",
    ]


@pytest.mark.parametrize(
    "path",
    [
        "tests/helper.py",
        "test_a.py",
        "src/a_test.py",
        "conftest.py",
        "web/a.test.ts",
        "x/tests/d.json",
    ],
)
def test_tests_are_recognised(path: str) -> None:
    assert is_test_file(path)


@pytest.mark.parametrize(
    "path", ["src/a.py", "testing.py", "contest.py", "latest/a.py", "attest.py"]
)
def test_other_files_are_not(path: str) -> None:
    assert not is_test_file(path)
