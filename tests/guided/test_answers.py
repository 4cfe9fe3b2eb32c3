"""Reading answers and putting them into files, whatever their indentation and form."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reapair.agent.guided.answers import read_answer
from reapair.agent.guided.splice import normal_form, spliced

SOURCE = '''"""A module."""

import os


def helper(value):
    return value


class Store:
    """Things."""

    limit = 3

    @property
    def size(self):
        return len(self.items)

    def load(self, name, mode="r"):
        """Return a file's text."""
        # A comment.
        if name:
            text = """one
  two"""
            return text
        return os.sep

    def close(self):
        pass


def load(name):
    return name
'''

WHOLE = '''def load(self, name, mode="r"):
    """Return a file's text."""
    if not name:
        return ""
    return os.sep
'''


def put(block: str, name: str = "Store.load", fence: str = "```python") -> str | None:
    return spliced(SOURCE, "store.py", name, read_answer(f"It is wrong.\n\n{fence}\n{block}```\n"))


def method(source: str | None, name: str = "load") -> ast.FunctionDef:
    assert source is not None
    [store] = [n for n in ast.parse(source).body if isinstance(n, ast.ClassDef)]
    [found] = [n for n in store.body if isinstance(n, ast.FunctionDef) and n.name == name]
    return found


def shifted(text: str, width: int) -> str:
    return "".join(" " * width + line if line.strip() else line for line in text.splitlines(True))


@pytest.mark.parametrize(
    "block",
    [
        WHOLE,
        shifted(WHOLE, 4),
        shifted(WHOLE, 7),
        WHOLE.split("\n", 1)[0] + "\n" + shifted(WHOLE.split("\n", 1)[1], 4),
        "    " + WHOLE.split("\n", 1)[0] + "\n" + WHOLE.split("\n", 1)[1],
        WHOLE.replace("    ", "\t"),
        WHOLE.replace("    ", "  "),
        "class Store:\n" + shifted(WHOLE, 4),
        "class Store:\n    def size(self):\n        return len(self.items)\n\n" + shifted(WHOLE, 4),
    ],
)  # fmt: skip
def test_indentation_is_mended(block: str) -> None:
    changed = put(block)
    found = method(changed)
    assert ast.unparse(found) == ast.unparse(ast.parse(WHOLE).body[0])
    assert changed is not None
    assert found.col_offset == 4
    assert found.body[1].col_offset == 8
    assert changed.split("class Store")[0] == SOURCE.split("class Store", maxsplit=1)[0]
    assert changed.endswith(
        "    def close(self):\n        pass\n\n\ndef load(name):\n    return name\n"
    )


def test_the_function_of_the_same_name_elsewhere_stays() -> None:
    changed = put("def load(name):\n    return name + 1\n", "load")
    assert changed is not None
    assert "return os.sep" in changed
    assert changed.endswith("def load(name):\n    return name + 1\n")


def test_decorators_that_were_left_out_stay() -> None:
    changed = put("def size(self):\n    return 0\n", "Store.size")
    assert method(changed, "size").decorator_list
    changed = put("@cached_property\ndef size(self):\n    return 0\n", "Store.size")
    [decorator] = method(changed, "size").decorator_list
    assert ast.unparse(decorator) == "cached_property"


@pytest.mark.parametrize(
    "given",
    ["", '    """Other words."""\n', '    """Return a file\'s text."""\n', "    # A comment.\n"],
)
def test_a_docstring_stays_as_it_was(given: str) -> None:
    changed = put(f"def load(self, name):\n{given}    return name\n")
    found = method(changed)
    assert ast.get_docstring(found) == "Return a file's text."
    assert ast.unparse(found.body[1:]) == "return name"
    assert found.body[0].col_offset == found.body[1].col_offset == 8


def test_lines_inside_strings_keep_their_bytes() -> None:
    block = 'def load(self):\n    text = """one\n  two"""\n    return text\n'
    changed = put(block)
    assert ast.literal_eval(method(changed).body[0].value) == "one\n  two"  # type: ignore[attr-defined]


def test_helpers_and_imports_come_along() -> None:
    block = (
        "import re\nimport os\n\ndef _clean(name):\n    return re.sub('x', '', name)\n\n"
        "def load(self, name):\n    return _clean(name)\n"
    )
    changed = put(block)
    assert changed is not None
    tree = ast.parse(changed)
    assert [ast.unparse(n) for n in tree.body if isinstance(n, ast.Import)] == [
        "import os", "import re",
    ]  # fmt: skip
    names = [n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    assert names == ["helper", "_clean", "Store", "load"]


def test_another_function_of_the_file_is_changed_too() -> None:
    changed = put("def helper(value):\n    return value * 2\n\n" + WHOLE)
    assert changed is not None
    assert "return value * 2" in changed
    assert 'return ""' in changed


@pytest.mark.parametrize(
    "answer",
    [
        "<<<<<<< SEARCH\n        return os.sep\n=======\n        return ''\n>>>>>>> REPLACE",
        "```python\n<<<<<<< SEARCH\nreturn os.sep\n=======\nreturn ''\n>>>>>>> REPLACE\n```",
        "```diff\n--- a/store.py\n+++ b/store.py\n@@ -9,9 +9,9 @@\n             return text\n"
        "-        return os.sep\n+        return ''\n```",
    ],
)
def test_replacements_are_taken_as_well(answer: str) -> None:
    changed = spliced(SOURCE, "store.py", "Store.load", read_answer(answer))
    assert changed == SOURCE.replace("return os.sep", "return ''")


def test_an_answer_that_was_cut_gives_nothing() -> None:
    text = "```python\ndef load(self):\n    return"
    assert not read_answer(text, whole=False).blocks
    assert read_answer(text).blocks


def test_unchanged_is_understood() -> None:
    assert read_answer("unchanged").unchanged
    assert read_answer("**Unchanged.**").unchanged
    assert not read_answer(f"unchanged\n```python\n{WHOLE}```").unchanged


def test_layout_and_comments_make_no_other_change() -> None:
    other = SOURCE.replace("        # A comment.\n", "").replace(
        "    return value", "    return  value"
    )
    assert normal_form(SOURCE, "a.py") == normal_form(other, "a.py")
    assert normal_form(SOURCE, "a.py") != normal_form(SOURCE.replace("= 3", "= 4"), "a.py")


def test_other_languages_go_by_their_grammar() -> None:
    source = "class Store {\n  load(name) {\n    return name;\n  }\n\n  close() {}\n}\n"
    block = "class Store {\n  load(name) {\n    return name + 1;\n  }\n}\n"
    changed = spliced(source, "store.js", "Store.load", read_answer(f"```js\n{block}```"))
    assert changed == source.replace("return name;", "return name + 1;")


@given(st.text(alphabet=st.sampled_from("def load(self):\n \t`x#\"'\\@,class"), max_size=200))
def test_no_answer_breaks_the_file(text: str) -> None:
    for answer in (text, f"```python\n{text}\n```"):
        changed = spliced(SOURCE, "store.py", "Store.load", read_answer(answer))
        if changed is not None:
            ast.parse(changed)
