from __future__ import annotations

import json

from reapair.sandbox.base import Sandbox
from reapair.tools import Toolbox, standard_tools
from reapair.tools.submit import DIFF_LIMIT, changed_files, removed_from
from support.workspaces import diff

from .conftest import RUNNER, Call, calling


def fix(call: Call) -> None:
    assert call("edit", path="slug/core.py", old_str="9]'", new_str="9]+'").ok


def test_the_first_call_reviews_and_the_second_ends(slug: Sandbox, call: Call) -> None:
    fix(call)
    call("run_tests", selector="all")
    review = call("submit", summary=" Fixed. ")
    assert review.submitted is None
    assert review.text == (
        "Not handed in yet. Review it:\n<diff>\n"
        "diff --git a/slug/core.py b/slug/core.py\n"
        "--- a/slug/core.py\n+++ b/slug/core.py\n"
        "@@ -3,5 +3,5 @@ import re\n \n def slugify(text, separator='-'):\n"
        '     """Return text in lower case, words joined by the separator."""\n'
        "-    words = re.split(r'[^a-z0-9]', text.lower())\n"
        "+    words = re.split(r'[^a-z0-9]+', text.lower())\n"
        "     return separator.join(words)\n</diff>\n"
        "Tests run on this change: all: 2 passed.\n"
        "If the change is right and complete, call submit again. Otherwise go on working."
    )
    done = call("submit", summary=" Fixed. ")
    assert (done.text, done.submitted) == ("Handed in.", "Fixed.")


def test_nothing_changed(call: Call) -> None:
    assert call("submit", summary="x").text.startswith(
        "Not handed in yet: nothing in the repository"
    )
    assert call("submit", summary="nothing to fix").submitted == "nothing to fix"


def test_scratch_files_and_changed_tests_are_named(slug: Sandbox, call: Call) -> None:
    slug.exec("echo x > repro.py; echo x > tests/test_new.py; sed -i '$d' tests/test_core.py")
    text = call("submit", summary="x").text
    assert "\nNew files: repro.py. Delete those that are only scratch.\n" in text
    assert (
        "\nLines of existing tests changed: tests/test_core.py. Undo that unless the issue asks.\n"
        in text
    )
    assert "\nTests run on this change: none. Run them before you hand in.\n" in text


def test_a_change_after_the_review_is_reviewed_once_more(slug: Sandbox, call: Call) -> None:
    fix(call)
    call("submit", summary="x")
    slug.exec("echo y > y")
    again = call("submit", summary="x")
    assert again.submitted is None
    assert again.text.startswith("The change is another one than you reviewed. Review it:\n<diff>")
    slug.exec("rm y")
    assert call("submit", summary="x").submitted == "x"


def test_runs_on_an_earlier_state_do_not_count(slug: Sandbox, call: Call) -> None:
    call("run_tests", selector="all")
    fix(call)
    assert "Tests run on this change: none." in call("submit", summary="x").text


def test_a_large_diff_is_clipped(slug: Sandbox, call: Call) -> None:
    slug.exec("seq 1 100000 > big.txt")
    text = call("submit", summary="x").text
    assert len(text.encode()) < DIFF_LIMIT + 1_000
    assert "lines left out ...]" in text


def test_a_summary_is_required(call: Call) -> None:
    assert call("submit", summary=" ").text == (
        "summary is empty. Say what was wrong and what you changed."
    )


def test_changed_files_of_a_patch(slug: Sandbox) -> None:
    slug.exec("mv slug/core.py 'c d.py'; rm tests/test_core.py; echo > ü; echo '#' >> .gitignore")
    created, changed = changed_files(diff(slug))
    assert created == ["c d.py", "ü"]
    assert changed == [".gitignore", "slug/core.py", "tests/test_core.py"]


def test_binary_files_are_only_named(slug: Sandbox, call: Call) -> None:
    slug.exec("printf 'a\\0b' > image.png; echo y > z.txt")
    text = call("submit", summary="x").text
    assert "+++ b/z.txt" in text
    assert "\nNew files: image.png, z.txt." in text
    assert "literal" not in text


def test_a_resumed_run_remembers_reviews_and_tests(slug: Sandbox) -> None:
    before, after = calling(slug), Toolbox(standard_tools(RUNNER, lambda: None, diff), lambda: slug)
    observations = [
        (name, before(name, **arguments).data)
        for name, arguments in (
            ("edit", {"path": "slug/core.py", "old_str": "9]'", "new_str": "9]+'"}),
            ("run_tests", {"selector": "all"}),
            ("submit", {"summary": "x"}),
        )
    ]
    for name, data in observations:
        after.restore(name, json.loads(json.dumps(data)))
    again = after.call("run_tests", {"selector": "tests"}).text
    assert again == "tests: 2 passed\n\nAgainst your last run: no change"
    assert after.call("submit", {"summary": "done"}).submitted == "done"


def test_an_added_test_is_no_fault() -> None:
    names = "diff --git a/tests/a.py b/tests/a.py\n--- a/tests/a.py\n+++ b/tests/a.py\n"
    assert removed_from(names + "@@ -1 +1,2 @@\n x\n+y\n") == set()
    assert removed_from(names + "@@ -1,2 +1 @@\n x\n-y\n") == {"tests/a.py"}
