from __future__ import annotations

import pytest

from reapair.prompts import render
from reapair.sandbox.base import Sandbox
from reapair.tools import Profile, Toolbox, profile_tools
from support.workspaces import diff, fill

from .conftest import RUNNER, Call


def box(sandbox: Sandbox, profile: Profile = "swe-smith") -> Toolbox:
    return Toolbox(profile_tools(profile, RUNNER, lambda: None, diff), lambda: sandbox)


@pytest.fixture
def editor(slug: Sandbox) -> Call:
    tools = box(slug)
    return lambda command, path, **others: tools.call(
        "str_replace_editor", {"command": command, "path": path, **others}
    )


def test_exactly_the_tools_of_the_profile(empty: Sandbox) -> None:
    functions = [entry["function"] for entry in box(empty).schemas]
    assert [entry["name"] for entry in functions] == ["bash", "str_replace_editor", "submit"]
    editing = functions[1]["parameters"]
    kinds = {name: entry["type"] for name, entry in editing["properties"].items()}
    assert kinds == {
        "command": "string",
        "path": "string",
        "file_text": "string",
        "old_str": "string",
        "new_str": "string",
        "insert_line": "integer",
        "view_range": "array",
    }
    assert editing["properties"]["view_range"]["items"] == {"type": "integer"}
    assert editing["properties"]["command"]["enum"][-1] == "undo_edit"
    assert editing["required"] == ["command", "path"]
    assert functions[2]["parameters"] == {"type": "object", "properties": {}, "required": []}
    assert box(empty, "bash").names == ["bash", "submit"]


def test_the_system_prompt_speaks_of_the_tools_there_are() -> None:
    standard = render("system", tools=["read", "search", "edit", "run_tests", "bash", "submit"])
    assert standard == render("system")
    smith = render("system", tools=["bash", "str_replace_editor", "submit"])
    alone = render("system", tools=["bash", "submit"])
    assert "str_replace needs old_str" in smith
    assert "view that place again" in smith
    for prompt in (smith, alone):
        assert "edit needs" not in prompt
        assert "with search" not in prompt
        assert "shown by read" not in prompt
    assert "str_replace" not in alone


def test_an_edit_from_view_to_submit(slug: Sandbox) -> None:
    tools = box(slug)

    def call(name: str, **arguments: object) -> str:
        return tools.call(name, arguments).text

    where = "/testbed/slug/core.py"
    seen = call("str_replace_editor", command="view", path=where, view_range=[4, -1])
    assert seen.startswith("slug/core.py (lines 4-7 of 7)\n    4\tdef slugify(")
    done = call(
        "str_replace_editor",
        command="str_replace",
        path=where,
        old_str="[^a-z0-9]'",
        new_str="[^a-z0-9]+'",
    )
    assert done.startswith("Edited slug/core.py.\nLines 3-7 are now:")
    review = call("submit")
    assert "+    words = re.split(r'[^a-z0-9]+'" in review
    assert "Tests run" not in review
    ended = tools.call("submit", {})
    assert (ended.text, ended.submitted) == ("Handed in.", "")


def test_create_insert_and_undo(editor: Call, slug: Sandbox) -> None:
    assert editor("create", "/testbed/new.py", file_text="a = 1\n").text == (
        "Created new.py (1 line)."
    )
    again = editor("create", "/testbed/new.py", file_text="b\n")
    assert (again.ok, "exists already. Change it with str_replace" in again.text) == (False, True)
    top = editor("insert", "/testbed/new.py", insert_line=0, new_str="# top")
    assert top.text == "Inserted 1 line into new.py. Lines 1-2 are now:\n    1\t# top\n    2\ta = 1"
    editor("insert", "/testbed/new.py", insert_line=2, new_str="b = 2\nc = 3\n")
    assert slug.read("new.py") == b"# top\na = 1\nb = 2\nc = 3\n"
    for left in (b"# top\na = 1\n", b"a = 1\n"):
        assert editor("undo_edit", "/testbed/new.py").ok
        assert slug.read("new.py") == left
    assert editor("undo_edit", "/testbed/new.py").text.endswith("it is gone.")
    assert not slug.exec("[ -e new.py ]").ok
    assert "no change of new.py to take back" in editor("undo_edit", "/testbed/new.py").text


@pytest.mark.parametrize(
    ("content", "line", "new", "after"),
    [
        (b"a\r\nb\r\n", 1, "x\ny", b"a\r\nx\r\ny\r\nb\r\n"),
        (b"a\nb", 2, "x", b"a\nb\nx"),
        (b"", 0, "x", b"x\n"),
        ("ä\f\u2028b\n".encode(), 1, "x\n", "ä\f\u2028b\nx\n".encode()),
        (b"\xef\xbb\xbfa\n", 0, "\tx", b"\xef\xbb\xbf\tx\na\n"),
        (b"# coding: latin-1\n# \xe4\n", 2, "ö", b"# coding: latin-1\n# \xe4\n\xf6\n"),
    ],
)
def test_insert_keeps_every_other_byte(
    content: bytes, line: int, new: str, after: bytes, editor: Call, slug: Sandbox
) -> None:
    slug.write("f.txt", content)
    assert editor("insert", "f.txt", insert_line=line, new_str=new).ok
    assert slug.read("f.txt") == after
    editor("undo_edit", "f.txt")
    assert slug.read("f.txt") == content


@pytest.mark.parametrize(
    ("command", "path", "others", "words"),
    [
        ("view", "/testbed/none.py", {}, "There is no file none.py."),
        ("view", "/testbed/slug/core.py", {"view_range": [1]}, "view_range takes two numbers"),
        ("view", "/testbed/slug/core.py", {"view_range": [99, 100]}, "view_range starts at 99"),
        ("create", "/testbed/a.py", {}, "create needs file_text"),
        ("create", "/testbed/.git/hooks/x", {"file_text": "x"}, "Files in .git cannot be edited"),
        ("create", "/etc/x", {"file_text": "x"}, "lies outside the repository"),
        ("str_replace", "/testbed/slug/core.py", {"new_str": "x"}, "str_replace needs old_str"),
        ("str_replace", "/testbed/none.py", {"old_str": "x"}, "There is no file none.py"),
        ("insert", "/testbed/slug/core.py", {"new_str": "x"}, "insert needs insert_line"),
        (
            "insert",
            "/testbed/slug/core.py",
            {"new_str": "x", "insert_line": 99},
            "insert_line is 99; slug/core.py has 7 lines",
        ),
        ("insert", "/testbed/slug", {"new_str": "x", "insert_line": 0}, "Name a file."),
        ("replace", "/testbed/slug", {}, "command: Input should be 'view', 'create'"),
    ],
)
def test_what_cannot_be_done_is_said(
    command: str, path: str, others: dict[str, object], words: str, editor: Call
) -> None:
    observation = editor(command, path, **others)
    assert not observation.ok
    assert words in observation.text


def test_a_long_file_is_cut_in_own_words(editor: Call, slug: Sandbox) -> None:
    fill(slug, {"long.txt": "line\n" * 1000})
    assert editor("view", "/testbed/long.txt").text.endswith(
        "[cut here: go on with view_range from 251]"
    )
