"""Manifests that were written to break something: read without harm, and their words stay words."""

from __future__ import annotations

import json
import time
import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from support.recipes import BUILD, needs, recipe, script

HOSTILE = "x'; touch ~/canary; \" $(touch canary) `touch canary`\n\0#"


def test_hostile_words_stay_words() -> None:
    quoted = json.dumps(HOSTILE)
    files = {
        "pyproject.toml": f"{BUILD}[project]\nname = {quoted}\nrequires-python = {quoted}\n"
        f"dependencies = [{quoted}, 'ok ; `x` $(x)']\n[project.optional-dependencies]\n"
        f"test = [{quoted}, 'ok ; `x` $(x) \\']\n{quoted} = []\n"
        f"[dependency-groups]\ntests = [{quoted}]\n",
        "uv.lock": '[[package]]\nname = "x$(y)"\nversion = "1"\n'
        '[[package]]\nname = "y"\nversion = "`z`"',
        "requirements-dev$(x)`y`.txt": "",
        "PKG-INFO": "Version: 1$(x)\n",
        "setup.py": "setuptools_scm",
        ".devcontainer.json": json.dumps({"image": "x $(y)", "postCreateCommand": HOSTILE}),
        "package.json": json.dumps({"packageManager": "npm@1; x", "scripts": {"test": "y"}}),
    }
    assert tomllib.loads(files["pyproject.toml"])
    steps = script(files)
    assert "canary" not in steps
    assert recipe(files).image is None
    odd = {f"it's $(x)/{path}": text for path, text in files.items()}
    assert "cd './it'\"'\"'s $(x)' || exit;" in script(odd, "it's $(x)")


def test_a_post_create_command_runs_in_a_shell_of_its_own() -> None:
    text = json.dumps({"postCreateCommand": {"b": "exit 1 # '", "a": ["echo", "it's"]}})
    steps = script({".devcontainer.json": text, "requirements.txt": "x"})
    assert steps.index("echo") < steps.index("exit 1")
    assert "pip install" in steps


def test_deep_and_endless_input_is_survived() -> None:
    deep = "[" * 100_000
    files = {
        "pyproject.toml": f"x = {deep}",
        "package.json": deep,
        ".devcontainer.json": '"\\"' * 20_000,
        "setup.cfg": "=\n" * 1000,
        "tox.ini": "[testenv]\ndeps = " + " " * 500_000 + "x",
        "requirements.txt": "-r requirements.txt\n",
        "Pipfile.lock": deep,
        "uv.lock": "[[package]]\n" * 100_000,
        "setup.py": "extras_require" + "'a" * 200_000,
    }
    before = time.process_time()
    script(files)
    assert time.process_time() - before < 10
    groups = {f"g{n}": [{"include-group": f"g{m}"} for m in range(60)] for n in range(60)}
    lines = [f"g{n} = [{', '.join(f'{{include-group={m!r}}}' for m in range(60))}]" for n in groups]
    assert needs({"pyproject.toml": "[dependency-groups]\ntests = ['x']\n" + "\n".join(lines)})


NAMES = (
    "pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "pytest.ini", "Pipfile", "Pipfile.lock",
    "uv.lock", "requirements-dev.txt", "package.json", ".devcontainer.json", "go.mod",
)  # fmt: skip
WORDS = st.sampled_from(
    [*"='[]{},:.\n1\\\"", "[project]", "name", "tool", "poetry", "dependencies", "build", "image",
     "scripts", "test", "dependency-groups", "[testenv]", "deps", "[options.extras_require]",
     "[tool.poetry.group.dev.dependencies]", "null", "true", "//", "/*", "%(x)s"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.lists(WORDS, max_size=30).map(" ".join)))
def test_no_file_is_too_odd(files: dict[str, str]) -> None:
    assert recipe(files) == recipe(files)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["test", "image", "build", "dockerfile", "args", "scripts", "default", "version"]
            ),
            inner,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["image", "build", "postCreateCommand", "scripts"]), VALUES))
def test_no_json_is_too_odd(value: object) -> None:
    text = json.dumps(value)
    recipe({"package.json": text, ".devcontainer.json": text, "Pipfile.lock": text, "Pipfile": ""})
