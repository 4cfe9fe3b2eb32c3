from __future__ import annotations

import pytest

from reapair.sandbox.base import Sandbox
from reapair.tools.base import Observation, Toolbox
from reapair.tools.observation import OBSERVATION_LIMIT
from reapair.tools.read import Read
from support.workspaces import fill


def read(sandbox: Sandbox, **arguments: object) -> Observation:
    return Toolbox([Read()], lambda: sandbox).call("read", dict(arguments))


def test_a_file_has_numbered_lines(shared_slug: Sandbox) -> None:
    assert read(shared_slug, path="slug/__init__.py").text == (
        "slug/__init__.py (lines 1-1 of 1)\n    1\tfrom slug.core import slugify"
    )


@pytest.mark.parametrize("path", ["slug/core.py", "./slug/core.py", "/testbed/slug/core.py"])
def test_paths_may_be_absolute(shared_slug: Sandbox, path: str) -> None:
    assert read(shared_slug, path=path).text.startswith(
        "slug/core.py (lines 1-7 of 7)\n    1\timport re"
    )


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [(2, 3, "2-3"), (6, None, "6-7"), (None, 2, "1-2"), (0, 99, "1-7"), (5, -1, "5-7")],
)
def test_ranges(shared_slug: Sandbox, start: int | None, end: int | None, shown: str) -> None:
    observation = read(shared_slug, path="slug/core.py", start_line=start, end_line=end)
    assert observation.text.startswith(f"slug/core.py (lines {shown} of 7)\n")


def test_ranges_that_are_none_are_explained(shared_slug: Sandbox) -> None:
    assert read(shared_slug, path="slug/core.py", start_line=9).text == (
        "slug/core.py has only 7 lines; start_line is 9."
    )
    backwards = read(shared_slug, path="slug/core.py", start_line=5, end_line=3)
    assert not backwards.ok
    assert backwards.text == "end_line 3 lies before start_line 5."


def test_long_files_are_cut_and_say_how_to_go_on(empty: Sandbox) -> None:
    fill(empty, {"long.txt": "".join(f"line {n}\n" for n in range(1, 1001))})
    text = read(empty, path="long.txt").text
    assert text.startswith("long.txt (lines 1-250 of 1000)\n")
    assert text.endswith("  250\tline 250\n[cut here: go on with start_line 251]")
    assert read(empty, path="long.txt", start_line=251).text.startswith(
        "long.txt (lines 251-500 of 1000)\n  251\tline 251\n"
    )


def test_long_lines_are_cut_by_size(empty: Sandbox) -> None:
    fill(empty, {"wide.txt": "\n".join("x" * 300 for _ in range(200))})
    text = read(empty, path="wide.txt").text
    assert len(text.encode()) < OBSERVATION_LIMIT + 200
    assert "[cut here: go on with start_line" in text


def test_a_long_python_file_shows_its_outline(empty: Sandbox) -> None:
    body = "".join(
        f"    def method_{n}(self, a,\n            b=1):\n        return {n}\n\n" for n in range(80)
    )
    fill(
        empty,
        {
            "big.py": f"import os\n\n\nclass Big(Base):\n{body}\n"
            "async def last() -> int:\n    return 1\n"
        },
    )
    text = read(empty, path="big.py").text
    assert text.startswith("big.py (lines 1-30 of 327, then the outline)\n    1\timport os\n")
    assert "\n      4-323  class Big(Base):\n        5-7      def method_0(self, a, b=1):\n" in text
    assert text.endswith(
        "\n    326-327  async def last() -> int:\n[read a part with start_line and end_line]"
    )
    assert read(empty, path="big.py", start_line=326).text.endswith("  327\t    return 1")


def test_an_outline_that_is_too_long_leaves_out_methods(empty: Sandbox) -> None:
    classes = "".join(
        f"class C{n}:\n    def a(self):\n        pass\n\n    def b(self):\n        pass\n\n"
        for n in range(100)
    )
    fill(empty, {"many.py": classes})
    text = read(empty, path="many.py").text
    assert "class C99:" in text
    assert "def a" not in text.split("Outline", 1)[1]
    assert "[200 more definitions: use search to find one]" in text


def test_a_directory_is_a_tree_that_honours_ignore_files(slug: Sandbox) -> None:
    slug.exec(
        "mkdir -p slug/__pycache__ && touch slug/__pycache__/x.pyc new.py && rm tests/test_core.py"
    )
    assert read(slug, path=".").text == (
        "./ (4 files)\n.gitignore\nnew.py\nslug/\n  __init__.py\n  core.py"
    )
    assert read(slug, path="slug/").text == "slug/ (2 files)\n__init__.py\ncore.py"


def test_a_large_directory_folds_its_deepest_levels(empty: Sandbox) -> None:
    files = {f"a/b{n}/c{m}.txt": "" for n in range(20) for m in range(20)} | {"top.txt": ""}
    fill(empty, files)
    text = read(empty, path=".").text
    assert text.startswith(
        "./ (401 files)\na/\n  b0/ (20 files)\n  b1/ (20 files)\n  b10/ (20 files)\n"
    )
    assert text.endswith("\ntop.txt")


def test_a_directory_that_git_ignores_is_listed_all_the_same(slug: Sandbox) -> None:
    slug.exec("echo build/ > .gitignore; mkdir build; touch build/out.txt")
    assert read(slug, path="build").text == "build/ (1 file)\nout.txt"


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (b"", "f.txt (empty file)"),
        (b"a\r\nb\r\n", "f.txt (lines 1-2 of 2; CRLF line endings)\n    1\ta\n    2\tb"),
        (b"a\r\nb\n", "f.txt (lines 1-2 of 2; mixed line endings)\n    1\ta\n    2\tb"),
        (b"\xef\xbb\xbfa\n", "f.txt (lines 1-1 of 1; byte order mark)\n    1\ta"),
        (b"caf\xe9\n", "f.txt (lines 1-1 of 1; encoding latin-1)\n    1\tcafé"),
        (
            "ünï\n".encode("utf-16"),
            "f.txt (lines 1-1 of 1; encoding utf-16-le; byte order mark)\n    1\tünï",
        ),
        (
            b"# coding: cp1251\n\xef\n",
            "f.txt (lines 1-2 of 2; encoding cp1251)\n    1\t# coding: cp1251\n    2\tп",
        ),
        (b"no end", "f.txt (lines 1-1 of 1)\n    1\tno end"),
        (
            b"form\x0cfeed\n\xe2\x80\xa8\n",
            "f.txt (lines 1-2 of 2)\n    1\tform\x0cfeed\n    2\t\u2028",
        ),
    ],
)
def test_unusual_files_are_named(empty: Sandbox, content: bytes, title: str) -> None:
    fill(empty, {"f.txt": content})
    assert read(empty, path="f.txt").text == title


def test_binary_and_huge_files_are_refused(empty: Sandbox) -> None:
    fill(empty, {"image.png": b"\x89PNG\0\0", "huge.csv": b"1,2,3\n" * 400_000})
    binary, huge = read(empty, path="image.png"), read(empty, path="huge.csv")
    assert (binary.ok, huge.ok) == (False, False)
    assert binary.text == "image.png is a binary file (6 bytes); it has no lines to show."
    assert huge.text == (
        "huge.csv is larger than 2 MB. Use search with this path, or bash: sed -n 1,100p ./huge.csv"
    )


def test_the_nearest_names_are_offered(shared_slug: Sandbox) -> None:
    assert (
        read(shared_slug, path="core.py").text
        == "There is no file core.py. Did you mean: slug/core.py?"
    )
    assert read(shared_slug, path="src/slug/core.py").text.endswith("Did you mean: slug/core.py?")
    assert read(shared_slug, path="test_cor.py").text.endswith("Did you mean: tests/test_core.py?")
    assert (
        read(shared_slug, path="zzz").text == "There is no file zzz. Use search to find the place."
    )


def test_paths_outside_are_refused(shared_slug: Sandbox) -> None:
    assert read(shared_slug, path="../etc/passwd").text.startswith(
        "../etc/passwd lies outside the repository."
    )
    assert not read(shared_slug, path=" ").ok


def test_names_cannot_become_commands_or_options(empty: Sandbox) -> None:
    fill(empty, {"-rf": "dash\n", "a $(touch pwned) 'b'": "odd\n", "ü.txt": "u\n"})
    assert "dash" in read(empty, path="-rf").text
    assert "odd" in read(empty, path="a $(touch pwned) 'b'").text
    assert read(empty, path=".").text == "./ (3 files)\n-rf\na $(touch pwned) 'b'\nü.txt"
