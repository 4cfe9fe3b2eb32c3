from __future__ import annotations

import re

import pytest

from reapair.sandbox.base import Sandbox
from reapair.tools.base import Observation, Toolbox
from reapair.tools.search import Search
from support.workspaces import SLUG, fill


def search(sandbox: Sandbox, **arguments: object) -> Observation:
    return Toolbox([Search()], lambda: sandbox).call("search", dict(arguments))


SUMMARY = """5 matches for 'slugify' in 3 files
slug/__init__.py (1 match)
    1\tfrom slug.core import slugify
slug/core.py (1 match)
    4\tdef slugify(text, separator='-'):
tests/test_core.py (3 matches)
    1\tfrom slug import slugify
  in test_simple (lines 4-5):
    5\t    assert slugify("A B") == "a-b"
  in test_dots (lines 8-10):
   10\t    assert slugify("a..b") == "a-b\""""


def test_matches_are_summarised_by_file_tests_last(shared_slug: Sandbox) -> None:
    assert search(shared_slug, pattern="slugify").text == SUMMARY


@pytest.mark.parametrize("missing", [["rg"], ["rg", "git"]])
def test_every_search_program_gives_the_same(empty: Sandbox, missing: list[str]) -> None:
    fill(empty, SLUG)
    empty.exec("rm -rf .git" if "git" in missing else "true")
    hidden = (
        "mkdir -p ~/bin; for p in bash grep head wc cat; do ln -s $(command -v $p) ~/bin/; done"
    )
    empty.exec(hidden if "git" in missing else f"{hidden}; ln -s $(command -v git) ~/bin/")
    found = Hiding(empty)
    assert search(found, pattern="slugify").text == SUMMARY
    assert search(found, pattern=r"slug\w+\((?!text)", glob="*.py").text.startswith("2 matches")
    bad = search(found, pattern="slugify(text").text
    assert bad.startswith("Not a valid regular expression (")
    assert "searched for the literal text.\n1 match for 'slugify(text' in 1 file" in bad


class Hiding(Sandbox):
    """The same sandbox, with only the programs in ~/bin."""

    kind = "none"

    def __init__(self, inner: Sandbox) -> None:
        self._inner = inner

    def start(self) -> None: ...

    def close(self) -> None: ...

    def exec(self, command, **options):  # type: ignore[no-untyped-def]
        return self._inner.exec(f"PATH=~/bin\n{command}", **options)


def test_path_and_glob_narrow(shared_slug: Sandbox) -> None:
    assert search(shared_slug, pattern="slugify", path="slug").text.startswith("2 matches")
    assert search(shared_slug, pattern="slugify", path="slug/core.py").text.startswith("1 match ")
    assert search(shared_slug, pattern="slugify", glob="test_*.py").text.startswith("3 matches")
    assert search(shared_slug, pattern="slugify", glob="slug/*.py").text.startswith("2 matches")
    assert search(shared_slug, pattern="slugify", path="/testbed/tests").text.startswith(
        "3 matches"
    )


def test_new_files_count_and_ignored_ones_do_not(slug: Sandbox) -> None:
    slug.exec("echo 'needle' > new.txt; mkdir __pycache__; echo needle > __pycache__/x.txt")
    assert (
        search(slug, pattern="needle").text
        == "1 match for 'needle' in 1 file\nnew.txt (1 match)\n    1\tneedle"
    )


def test_nothing_found_says_what_to_try(shared_slug: Sandbox) -> None:
    assert search(shared_slug, pattern="zzz", path="slug").text == (
        "No matches for 'zzz' in slug. Try a shorter pattern, (?i) to ignore case, or a wider path."
    )
    assert "a|b finds both" in search(shared_slug, pattern=r"slugify\|zzz").text


def test_a_bad_pattern_is_searched_literally(shared_slug: Sandbox) -> None:
    text = search(shared_slug, pattern="slugify(text").text
    reason = re.match(r"Not a valid regular expression \(([^\n]+)\); searched for ", text)
    assert reason
    assert text[reason.end() :].startswith("the literal text.\n1 match for")
    # git grep, which searches where there is no ripgrep, has other words for it.
    assert reason[1] == "unclosed group" or not shared_slug.exec("command -v rg").ok


def test_much_is_bounded_and_the_rest_told(empty: Sandbox) -> None:
    files = {f"m{n:02}.py": "x = needle\n" * (n + 1) for n in range(30)}
    fill(empty, files)
    text = search(empty, pattern="needle").text
    assert text.startswith("465 matches for 'needle' in 30 files\nm29.py (30 matches)\n")
    assert "  [22 more in this file]\n" in text
    assert "\nNot shown: m24.py (25)" in text
    assert text.endswith("and 15 more files. Narrow with path, glob or a longer pattern.")
    assert text.count("\tx = needle") == 40
    assert search(empty, pattern="needle", max_results=3).text.count("\tx = needle") == 3
    assert search(empty, pattern="needle", path="m29.py").text.count("\tx = needle") == 30


def test_a_long_line_is_cut_around_the_match(empty: Sandbox) -> None:
    fill(empty, {"min.js": "a" * 5_000 + "needle" + "b" * 5_000 + "\n"})
    text = search(empty, pattern="needle").text
    assert "needle" in text.split("\n")[2]
    assert len(text) < 400


def test_binary_files_are_left_out(empty: Sandbox) -> None:
    fill(empty, {"data.bin": b"\0\0needle\n", "latin.txt": b"caf\xe9 needle\n"})
    assert search(empty, pattern="needle").text.startswith(
        "1 match for 'needle' in 1 file\nlatin.txt"
    )


def test_a_missing_path_offers_the_nearest(shared_slug: Sandbox) -> None:
    assert search(shared_slug, pattern="x", path="slug/cor.py").text.endswith(
        "Did you mean: slug/core.py?"
    )


@pytest.mark.parametrize("pattern", ["-e", "--files", "$(touch pwned)", "'", "a'b\"c", "\\"])
def test_patterns_cannot_become_commands_or_options(shared_slug: Sandbox, pattern: str) -> None:
    assert search(shared_slug, pattern=pattern).text
    assert not shared_slug.exec("test -e pwned").ok


def test_every_line_stands_under_what_it_is_in(empty: Sandbox) -> None:
    fill(
        empty,
        {
            "a.py": "def one():\n    return x1\n\n\nclass Two:\n    @wraps\n    def x2(self):\n"
            "        return x3\n\n    def x4(self):\n        pass\n\n\nx5 = 1\n"
        },
    )
    assert search(empty, pattern=r"x\d").text == (
        "5 matches for 'x\\d' in 1 file\na.py (5 matches)\n"
        "  in one (lines 1-2):\n    2\t    return x1\n"
        "  in Two (lines 5-11):\n    7\t    def x2(self):\n"
        "  in Two.x2 (lines 6-8):\n    8\t        return x3\n"
        "  in Two (lines 5-11):\n   10\t    def x4(self):\n"
        "  outside:\n   14\tx5 = 1"
    )


def test_deep_definitions_are_named(empty: Sandbox) -> None:
    fill(empty, {"a.py": "class A:\n    @property\n    def b(self):\n        return needle\n"})
    assert search(empty, pattern="needle").text.endswith(
        "  in A.b (lines 2-4):\n    4\t        return needle"
    )


def test_a_glob_that_cannot_be_read(shared_slug: Sandbox) -> None:
    if not shared_slug.exec("command -v rg").ok:
        pytest.skip("ripgrep is not installed; git grep takes any glob")
    observation = search(shared_slug, pattern="x", glob="*.{")
    assert not observation.ok
    assert observation.text.startswith("glob cannot be read (parsing glob '*.{'")
