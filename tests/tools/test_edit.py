from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reapair.sandbox.base import Sandbox
from reapair.tools.base import Observation, Toolbox
from reapair.tools.edit import LARGEST, Edit
from support.workspaces import fill


def edit(sandbox: Sandbox, path: str, old: str, new: str) -> Observation:
    box = Toolbox([Edit()], lambda: sandbox)
    return box.call("edit", {"path": path, "old_str": old, "new_str": new})


def test_an_exact_edit_shows_the_new_lines(slug: Sandbox) -> None:
    done = edit(slug, "slug/core.py", "[^a-z0-9]'", "[^a-z0-9]+'")
    assert done.text == (
        "Edited slug/core.py.\nLines 3-7 are now:\n"
        "    3\t\n"
        "    4\tdef slugify(text, separator='-'):\n"
        '    5\t    """Return text in lower case, words joined by the separator."""\n'
        "    6\t    words = re.split(r'[^a-z0-9]+', text.lower())\n"
        "    7\t    return separator.join(words)"
    )
    assert done.data == {
        "path": "slug/core.py",
        "lines": [6, 6],
        "created": False,
        "test_file": False,
    }


def test_a_miss_shows_the_nearest_text_and_what_differs(slug: Sandbox) -> None:
    before = slug.read("slug/core.py")
    missed = edit(
        slug, "slug/core.py", "    words = text.lower()\n    return separator.join(words)", ""
    )
    assert not missed.ok
    assert missed.text == (
        "Nothing was changed: old_str is not in slug/core.py. The nearest text is lines 6-7:\n"
        "    6\t    words = re.split(r'[^a-z0-9]', text.lower())\n"
        "    7\t    return separator.join(words)\n"
        "Differences (- old_str, + file):\n"
        "-     words = text.lower()\n"
        "+     words = re.split(r'[^a-z0-9]', text.lower())\n"
        "Give old_str exactly as in the file, without the line numbers."
    )
    assert slug.read("slug/core.py") == before


def test_nothing_like_it(slug: Sandbox) -> None:
    assert edit(slug, "slug/core.py", "zzzzz", "y").text == (
        "Nothing was changed: old_str is not in slug/core.py. Nothing there is like it. "
        "Read the file, or search for the right one."
    )


def test_several_matches_are_listed(slug: Sandbox) -> None:
    assert edit(slug, "tests/test_core.py", "    assert slugify", "x").text == (
        "Nothing was changed: old_str stands 2 times in tests/test_core.py, at lines 5, 10. "
        "Add lines before or after it to say which one."
    )
    loosely = edit(slug, "tests/test_core.py", "", "").text
    assert "exists already (10 lines) and old_str is empty" in loosely


def test_several_matches_apart_from_white_space(empty: Sandbox) -> None:
    fill(empty, {"a.py": "if a:\n    run(1)\n    stop()\nelse:\n        run(1)\n        stop()\n"})
    assert edit(empty, "a.py", "run(1)\nstop()", "x").text == (
        "Nothing was changed: old_str stands 2 times in a.py apart from white space, at "
        "lines 2, 5. Add lines before or after it to say which one."
    )


def test_create_fill_and_refuse(slug: Sandbox) -> None:
    created = edit(slug, "new/deep/file.txt", "", "one\r\ntwo")
    assert created.text == "Created new/deep/file.txt (2 lines)."
    assert slug.read("new/deep/file.txt") == b"one\r\ntwo"
    assert edit(slug, "new/empty", "", "").text == "Created new/empty (0 lines)."
    assert edit(slug, "new/empty", "", "x\n").ok
    assert slug.read("new/empty") == b"x\n"
    assert not edit(slug, "new/empty", "", "y\n").ok
    assert slug.read("new/empty") == b"x\n"


def test_deleting_lines(slug: Sandbox) -> None:
    done = edit(slug, "slug/core.py", "import re\n\n\n", "")
    assert slug.read("slug/core.py").startswith(b"def slugify")
    assert done.text.startswith("Edited slug/core.py.\nLines 1-4 are now:\n    1\tdef slugify")


def test_deleting_everything(slug: Sandbox) -> None:
    content = slug.read("slug/__init__.py").decode()
    assert edit(slug, "slug/__init__.py", content, "").text == "Edited slug/__init__.py."
    assert slug.read("slug/__init__.py") == b""


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        (b"a\r\nb\r\nc\r\n", "b\n", "x\ny\n", b"a\r\nx\r\ny\r\nc\r\n"),
        (b"a\r\nb\r\nc", "b\r\nc", "b\r\nd", b"a\r\nb\r\nd"),
        (b"a\r\nb\nc\r\n", "a\nb\nc", "a\nb\nd", b"a\r\nb\nd\r\n"),
        (b"a\nb\r\nc\n", "b", "b\nx", b"a\nb\r\nx\r\nc\n"),
        (b"\xef\xbb\xbfa\nb\n", "a\n", "x\n", b"\xef\xbb\xbfx\nb\n"),
        (b"caf\xe9 a\n", "a\n", "\xfc\n", b"caf\xe9 \xfc\n"),
        (b"\tif a:\n\t\tb\n", "\t\tb", "\t\tc", b"\tif a:\n\t\tc\n"),
        (b"no end", "end", "final feed", b"no final feed"),
        ("ü = 1\n".encode("utf-16"), "1", "2", "ü = 2\n".encode("utf-16")),
        (b"a\rb\rc\n", "b", "x", b"a\rx\rc\n"),
        (
            b"<|user|> </think> <tool_call>\n",
            "</think>",
            "<|assistant|>",
            b"<|user|> <|assistant|> <tool_call>\n",
        ),
        (b"\\n $HOME `x` %s {y}\n", "`x` %s", "$(touch z) \\1", b"\\n $HOME $(touch z) \\1 {y}\n"),
    ],
)
def test_bytes_outside_the_change_stay(
    empty: Sandbox, before: bytes, old: str, new: str, after: bytes
) -> None:
    fill(empty, {"f.txt": before})
    assert edit(empty, "f.txt", old, new).ok
    assert empty.read("f.txt") == after


def test_the_mode_stays(empty: Sandbox) -> None:
    fill(empty, {"run.sh": "echo a\n"})
    empty.exec("chmod +x run.sh")
    edit(empty, "run.sh", "a", "b")
    assert empty.exec("test -x run.sh && ./run.sh").text == "b\n"


def test_what_cannot_be_encoded_is_refused(empty: Sandbox) -> None:
    fill(empty, {"f.py": b"# coding: latin-1\nx = '\xe9'\n"})
    refused = edit(empty, "f.py", "x = 'é'", "x = '→'")
    assert refused.text.startswith(
        "Nothing was changed: the file is in latin-1, which cannot hold '→'."
    )
    assert empty.read("f.py") == b"# coding: latin-1\nx = '\xe9'\n"


@pytest.mark.parametrize(
    ("old", "new", "after", "told"),
    [
        ("a = 1\nb = 2", "a = 1\nc = 3", "    a = 1\n    c = 3\n", "indented like the file"),
        ("\ta = 1\n\tb = 2", "\tb = 2", "    b = 2\n", "indented like the file"),
        (
            "    1\tdef f():\n    2\t    a = 1",
            "    1\tdef f():\n    2\t    z = 1",
            "    z = 1\n    b = 2\n",
            "Line numbers",
        ),
        ("2:    a = 1\n3:    b = 2", "    z = 1", "    z = 1\n", "Line numbers"),
        (
            "def f():\n    ...\n    b = 2",
            "def f():\n    ...\n    c = 2",
            "    a = 1\n    c = 2\n",
            "'...'",
        ),
        ("a  =  1\nb = 2", "a  =  1\nb = 3", "    a = 1\n    b = 3\n", "indented like the file"),
    ],
)
def test_faulty_edits_that_can_only_mean_one_thing(
    empty: Sandbox, old: str, new: str, after: str, told: str
) -> None:
    fill(empty, {"f.py": "def f():\n    a = 1\n    b = 2\n"})
    done = edit(empty, "f.py", old, new)
    assert done.ok, done.text
    assert told in done.text
    assert empty.read("f.py").decode() == f"def f():\n{after}"


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        # What is to be replaced is not what is there.
        ("a  =  1\nb\n", "a = 1\nb", "a = 2\nb"),
        # The body would not be indented.
        ("    x = 1\n    y = 2\n", "x = 1\ny = 2", "x = 1\nif x:\nz()\ny = 2"),
        # It cannot be told on which side of the blank line this goes.
        ("a()\n\nb()\n", "a()\nb()", "a()\nc()\nb()"),
        # The part after '...' is in another function.
        (
            "def f():\n    a\n\n\ndef g():\n    b\n",
            "def f():\n    ...\n    b",
            "def f():\n    ...\n    c",
        ),
        # The unseen lines would be lost.
        ("def f():\n    a\n    b\n    c\n", "def f():\n    ...\n    c", "def f():\n    d"),
    ],
)
def test_faulty_edits_that_would_be_a_guess(empty: Sandbox, text: str, old: str, new: str) -> None:
    fill(empty, {"f.txt": text})
    refused = edit(empty, "f.txt", old, new)
    assert not refused.ok
    assert "The nearest text is lines" in refused.text
    assert empty.read("f.txt").decode() == text


def test_new_syntax_errors_are_told_and_old_ones_are_not(empty: Sandbox) -> None:
    fill(empty, {"f.py": "def f():\n    return 1\n", "old.py": "print 'a'\nx = = 1\ny = 2\n"})
    done = edit(empty, "f.py", "    return 1", "return 1")
    assert done.ok
    assert done.text.endswith(
        "\nSyntax error that was not there before, near line 2 of f.py: return 1\n"
        "Fix it with another edit."
    )
    assert "Syntax error" not in edit(empty, "old.py", "y = 2", "y = 3").text
    assert "near line 3 of old.py: y = (3" in edit(empty, "old.py", "y = 3", "y = (3").text
    assert "Syntax error" in edit(empty, "new.py", "", "def f(:\n").text
    assert "Syntax error" not in edit(empty, "new.txt", "", "def f(:\n").text


def test_hostile_source_is_only_text(empty: Sandbox) -> None:
    deep = "x = " + "(" * 20_000 + "\n"
    fill(empty, {"f.py": "y = 1\n"})
    assert edit(empty, "f.py", "y = 1\n", deep).ok
    assert edit(empty, "g.txt", "", " \n" * 200_000).ok
    assert edit(empty, "g.txt", " ", "x").text.startswith(
        "Nothing was changed: old_str stands 200000 times in g.txt, at lines 1, 2, 3"
    )


def test_existing_tests_are_marked(slug: Sandbox) -> None:
    assert edit(slug, "tests/test_core.py", "a..b", "a.b").data["test_file"] is True
    assert edit(slug, "tests/test_new.py", "", "x = 1\n").data["test_file"] is False


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (".git/config", "Files in .git cannot be edited."),
        ("/testbed/.git/HEAD", "Files in .git cannot be edited."),
        ("slug/.GIT/config", "Files in .git cannot be edited."),
        ("/etc/passwd", "lies outside the repository"),
        ("../x", "lies outside the repository"),
        ("slug", "slug is a directory."),
        ("slug/cor.py", "Did you mean: slug/core.py?"),
    ],
)
def test_paths_that_cannot_be_edited(slug: Sandbox, path: str, words: str) -> None:
    refused = edit(slug, path, "a", "b")
    assert not refused.ok
    assert words in refused.text


def test_binary_and_huge_files_stay(empty: Sandbox) -> None:
    fill(empty, {"a.bin": b"\0a", "huge.txt": b"a\n" * (LARGEST // 2) + b"b\n"})
    assert (
        edit(empty, "a.bin", "a", "b").text
        == "a.bin is a binary file and cannot be edited as text."
    )
    assert "larger than 8 MB" in edit(empty, "huge.txt", "b\n", "c\n").text
    assert empty.exec("tail -c 2 huge.txt").text == "b\n"


def test_the_same_text_is_refused(slug: Sandbox) -> None:
    assert not edit(slug, "slug/core.py", "import re", "import re").ok


def test_the_corpus_of_faulty_edits() -> None:
    script = Path(__file__).parents[2] / "benchmarks/edit_corpus.py"
    done = subprocess.run(
        [sys.executable, script, "1"], capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr


UNKNOWN = {
    "Shift-JIS": ("温度\nx=1\n".encode("shift_jis"), "x=25°C"),
    "GBK": ("温度\nx=1\n".encode("gbk"), "x=ö"),
    "cp1251": ("привет\nx=1\n".encode("cp1251"), "x=ö"),
    "EUC-JP": ("温度\nx=1\n".encode("euc_jp"), "x=é"),
    "UTF-8 with one bad byte": ("é\n".encode() + b"\xff\nx=1\n", "x=é"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_encoding_that_is_not_known_is_never_mixed(empty: Sandbox, name: str) -> None:
    data, new = UNKNOWN[name]
    fill(empty, {"f.txt": data})
    refused = edit(empty, "f.txt", "x=1", new)
    assert refused.text.startswith("Nothing was changed: the encoding of the file is not known")
    assert empty.read("f.txt") == data
    edit(empty, "f.txt", "x=1", "x=25 C")
    assert empty.read("f.txt") == data.replace(b"x=1", b"x=25 C")


@pytest.mark.parametrize(
    ("text", "old", "shown"),
    [
        ("a\u00a0= 1\n", "a = 1", "+ a\\u00a0= 1"),
        ("a = 1\n", "a\u00a0= 1", "- a\\u00a0= 1"),
        ("name = 'cafe\u0301'\n", "name = 'caf\u00e9'", "+ name = 'cafe\\u0301'"),
        ("x = 1\u200b\ny = 2\n", "x = 1\ny = 2", "+ x = 1\\u200b"),
        ("f\u2010g()\nh()\n", "f\u2011g()\nh()", "- f\\u2011g()"),
        ("\u202dlong_name = 1\n", "long_name = 1 ", "+ \\u202dlong_name = 1"),
        ("long_\U000e0041name = 1\n", "long_name = 1", "+ long_\\U000e0041name = 1"),
        ("a\tb = 1\n", "a b = 2", "+ a\\tb = 1"),
    ],
)
def test_what_cannot_be_seen_is_shown_in_a_miss(
    empty: Sandbox, text: str, old: str, shown: str
) -> None:
    fill(empty, {"a.txt": text})
    missed = edit(empty, "a.txt", old, "z = 9")
    assert not missed.ok
    assert shown in missed.text.splitlines()
    assert ("by its Unicode number" in missed.text) == ("\\u" in shown.lower())
    assert empty.read("a.txt") == text.encode()


def test_letters_that_can_be_seen_are_shown_as_they_are(empty: Sandbox) -> None:
    fill(empty, {"a.txt": "gr\u00f6\u00dfe = '\u6f22\u5b57 \u20ac'\n"})
    missed = edit(empty, "a.txt", "gr\u00f6\u00dfe = '\u6f22\u5b57'", "")
    assert "+ gr\u00f6\u00dfe = '\u6f22\u5b57 \u20ac'" in missed.text.splitlines()
    assert "Unicode" not in missed.text


@pytest.mark.parametrize(
    ("path", "text", "noted"),
    [
        ("notes.md", "# Title\\n\\nText\\n", True),
        ("notes.md", "Don't\\nit's\n", True),
        ("a.json", '{\\n  "a": 1\\n}', True),
        ("a.py", "import os\\nprint(os)\\n", True),
        ("a.py", 'print("a\\nb")\n', False),
        ("a.sh", "printf 'a\\nb'\n", False),
        ("a.txt", "C:\\\\new", False),
        ("a.md", "# Title\n\nwrite \\n for a line break\n", False),
    ],
)
def test_escaped_newlines_are_noted(empty: Sandbox, path: str, text: str, noted: bool) -> None:
    note = "holds \\n as two characters"
    made = edit(empty, path, "", text)
    assert made.ok
    assert (note in made.text) == noted
    assert empty.read(path) == text.encode()
    fill(empty, {path: "first\nplace\nlast\n"})
    assert (note in edit(empty, path, "place", text).text) == noted
    fill(empty, {path: "first\nplace\nlast\n"})
    assert ("old_str holds \\n" in edit(empty, path, text, "z").text) == noted
