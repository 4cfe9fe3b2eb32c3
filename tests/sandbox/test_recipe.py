"""What is read from a repository's own files: the right things, and never more than asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reapair.sandbox.git.repository import GitStore
from reapair.sandbox.git.snapshot import Snapshot
from reapair.sandbox.recipes.devcontainer import IGNORED, REFUSED, Build, without_comments
from reapair.sandbox.recipes.find import Recipe
from reapair.sandbox.recipes.part import Project
from reapair.sandbox.recipes.python_needs import Needs, is_package
from reapair.sandbox.recipes.python_version import bounds
from reapair.sandbox.recipes.requirement import locked_versions, poetry_version, requirements
from reapair.sandbox.recipes.snapshot_files import SnapshotFiles
from support.recipes import BUILD, EXTRAS, PROJECT, needs, recipe, script
from support.repositories import make_repository


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"calc.py": "", "test_calc.py": ""},
        {"pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-q'\n"},
        {"pyproject.toml": "[project]\nname = 'flat'\nversion = '1'\n", "flat/__init__.py": ""},
        {"tox.ini": "[testenv]\ndeps =\n"},
        {"setup.cfg": "[flake8]\nmax-line-length = 99\n"},
    ],
)
def test_a_plain_repository_needs_nothing_but_pytest(files: dict[str, str]) -> None:
    assert recipe(files) == Recipe()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"pyproject.toml": EXTRAS + "test = ['a']\ndev = ['b']"}, Needs(["test"])),
        ({"pyproject.toml": EXTRAS + "dev = ['b']\ndocs = ['c']"}, Needs(["dev"])),
        ({"pyproject.toml": "[dependency-groups]\nTests = ['a>1', {include-group='X_y'}]\n"
          "x-y = ['b', {include-group = 'tests'}]\ndev = ['c']"},
         Needs([], ["a>1", "b"])),
        ({"pyproject.toml": "[tool.poetry.group.dev.dependencies]\npytest = '^7.2'\n"
          "local = {path = '../x'}\nx = {version = '~1.2', extras = ['y']}"},
         Needs([], ["pytest>=7.2,<8", "x[y]>=1.2,<1.3"])),
        ({"pyproject.toml": "[tool.pdm.dev-dependencies]\ntest = ['a']\n"}, Needs([], ["a"])),
        ({"pyproject.toml": "[tool.hatch.envs.hatch-test]\nextra-dependencies=['a']\n"},
         Needs([], ["a"])),
        ({"setup.cfg": "[options.extras_require]\ntesting =\n  pytest\ndocs = x\n"},
         Needs(["testing"])),
        ({"setup.py": "setup(extras_require={'docs': ['x'], 'test': ['y']})"}, Needs(["test"])),
        ({"setup.py": "setup(tests_require=['mock>=2', \"b\"])"}, Needs([], ["mock>=2", "b"])),
        ({"setup.py": "", "requirements-dev.txt": "x", "requirements.txt": "y"},
         Needs([], [], ["requirements-dev.txt"])),
        ({"setup.py": "", "requirements/tests.txt": "x", "requirements/dev.txt": "y",
          "requirements/tests-py38.txt": "z", "docs/requirements-test.txt": "w"},
         Needs([], [], ["requirements/tests.txt"])),
        ({"tox.ini": "[testenv]\nextras = testing\ndeps =\n  pytest>=6\n  py27: mock\n"
          "  -r{toxinidir}/more.txt\n  cov{env:X}\n  .[x]\n", "more.txt": ""},
         Needs(["testing"], ["pytest>=6"], ["more.txt"])),
        ({"Pipfile": "[packages]\nrequests = '*'\n[dev-packages]\npytest = '==7.4'\n"},
         Needs([], ["pytest==7.4"])),
    ],
)  # fmt: skip
def test_what_tests_need_is_found_where_it_is_said(files: dict[str, str], expected: Needs) -> None:
    assert needs(files) == expected


def test_a_python_project_is_installed_with_steps_to_fall_back_to() -> None:
    text = PROJECT + "[project.optional-dependencies]\ntest = ['a']\n"
    steps = script({"pyproject.toml": text, "requirements-test.txt": "b"})
    everything, alone, without = "-e '.[test]'", "-e . ||", "what it depends on' pip install -q"
    assert steps.index(everything) < steps.index(alone) < steps.index(without)
    assert "'six>=1' a && on_path ." in steps
    assert "-r requirements-test.txt || problem" in steps
    assert recipe({"pyproject.toml": text}).test_command is None


def test_locked_versions_are_tried_first() -> None:
    lock = (
        'version = 1\n[[package]]\nname = "six"\nversion = "1.16.0"\n'
        'source = { registry = "https://index.invalid/simple" }\n'
        '[[package]]\nname = "demo"\nversion = "1"\nsource = { editable = "." }\n'
    )
    steps = script({"pyproject.toml": PROJECT, "uv.lock": lock})
    assert "printf '%s\\n' six==1.16.0 > /tmp/locked.txt" in steps
    assert steps.index("-c /tmp/locked.txt -e .") < steps.index("install -q -e .")


def test_locks_of_other_tools() -> None:
    poetry = '[[package]]\nname = "B_c"\nversion = "2"\n[[package]]\nname="x"\nversion="1"\n'
    poetry += '[[package]]\nname = "git"\nversion = "3"\n\n[package.source]\ntype = "git"\n'
    assert locked_versions("poetry.lock", poetry) == ["b-c==2"]
    twice = '[[package]]\nname = "a"\nversion = "1"\n[[package]]\nname = "a"\nversion = "2"\n'
    assert locked_versions("uv.lock", twice) == []
    pipenv = json.dumps({"default": {"a": {"version": "==1"}, "b": {"git": "x"}}, "develop": 3})
    assert locked_versions("Pipfile.lock", pipenv) == ["a==1"]
    many = "".join(f'[[package]]\nname = "p{n}"\nversion = "1.0"\n' for n in range(20_000))
    assert locked_versions("uv.lock", many) is None


@pytest.mark.parametrize(
    ("constraint", "wanted"),
    [
        ("^1.2.3", ">=1.2.3,<2"), ("^0.2.3", ">=0.2.3,<0.3"), ("^0.0.3", ">=0.0.3,<0.0.4"),
        ("~1.2", ">=1.2,<1.3"), ("~1", ">=1,<2"), ("1.2.*", "==1.2.*"), ("*", ""), ("1.5", "==1.5"),
        (">=2,<3", ">=2,<3"), ("~=2.1", "~=2.1"), ("^1 || ^2", ">=1,<2"),
    ],
)  # fmt: skip
def test_poetry_constraints(constraint: str, wanted: str) -> None:
    assert poetry_version(constraint) == wanted


@pytest.mark.parametrize(
    ("wanted", "low", "high"),
    [
        (">=3.8", (3, 8), (9, 0)), (">=3.8,<3.13", (3, 8), (3, 13)), ("^3.9", (3, 9), (9, 0)),
        ("==3.10.*", (3, 10), (3, 11)), ("<=3.9", (0, 0), (3, 10)), ("<3.12.1", (0, 0), (3, 13)),
        ("<3.12.0", (0, 0), (3, 12)), (">=3.7,!=3.8.*,<4", (3, 7), (4, 0)), ("x", (0, 0), (9, 0)),
        ("===x, >=3.9, $(no)", (3, 9), (9, 0)), ("~3.10", (3, 10), (9, 0)),
    ],
)  # fmt: skip
def test_bounds_of_python(wanted: str, low: tuple[int, int], high: tuple[int, int]) -> None:
    assert bounds(wanted) == (low, high)


def test_the_wrong_python_names_an_image() -> None:
    steps = script({"pyproject.toml": PROJECT + 'requires-python = ">=3.13"\n'})
    assert "python:3.13" in steps


def test_versions_from_tags_are_told() -> None:
    text = '[build-system]\nrequires = ["setuptools_scm"]\n'
    tagged = script({"pyproject.toml": text}, last_tag=lambda: "pkg-v2.5.1")
    assert "SETUPTOOLS_SCM_PRETEND_VERSION=2.5.1 " in tagged
    unpacked = script({"pyproject.toml": text, "PKG-INFO": "Name: x\nVersion: 3.1rc2\n"})
    assert "SETUPTOOLS_SCM_PRETEND_VERSION=3.1rc2 " in unpacked
    assert "PRETEND_VERSION" not in script({"setup.py": ""}, last_tag=lambda: "1.0")


def test_plugins_that_the_settings_ask_for() -> None:
    text = "[tool.pytest.ini_options]\naddopts = '-ra --cov=x -n auto --strict-markers'\n"
    steps = script({"pyproject.toml": text + "asyncio_mode = 'auto'\n"})
    assert all(plugin in steps for plugin in ("pytest-cov", "pytest-xdist", "pytest-asyncio"))
    assert "pytest-timeout" not in steps
    old = {"setup.py": "", "setup.cfg": "[tool:pytest]\naddopts =\n  --timeout 5\n"}
    assert "pytest-timeout" in script(old)


def test_the_key_holds_what_the_set_up_reads_and_nothing_else() -> None:
    files = {
        "setup.py": "ext_modules",
        "requirements-dev.txt": "-r requirements/more.txt\nx",
        "requirements/more.txt": "y",
        "src/fast.c": "int x;",
        "README.md": "z",
        "tests/test_x.py": "",
    }
    key = recipe(files).manifests
    for path in ("setup.py", "requirements-dev.txt", "requirements/more.txt", "src/fast.c"):
        assert recipe({**files, path: files[path] + " "}).manifests != key, path
    for path in ("README.md", "tests/test_x.py"):
        assert recipe({**files, path: "changed"}) == recipe(files)
    assert any("Compiled" in note for note in recipe(files).notes)


MONOREPO = {
    "pyproject.toml": "[tool.uv.workspace]\nmembers = ['packages/*']\n",
    "packages/a/pyproject.toml": PROJECT + "[tool.uv.sources]\ncore = {workspace = true}\n",
    "packages/core/pyproject.toml": BUILD + "[project]\nname = 'Core'\n",
    "packages/a/src/a/b/c.py": "",
    "web/package.json": '{"name": "web", "scripts": {"test": "vitest run"}}',
    "web/src/x/index.js": "",
    "package-lock.json": "{}",
    "docs/requirements.txt": "sphinx",
}


def test_in_a_monorepo_the_nearest_project_counts() -> None:
    found = recipe(MONOREPO, "packages/a/src/a/b")
    assert found.directory == "packages/a"
    assert found.test_command == "cd ./packages/a || exit; python -m pytest"
    assert "cd ./packages/a || exit" in (found.setup_command or "")
    assert "-e ../core -e ." in script(MONOREPO, "packages/a")
    assert recipe(MONOREPO, "docs").directory == "docs"
    assert recipe(MONOREPO).setup_command is None


def test_node() -> None:
    found = recipe(MONOREPO, "web/src/x")
    assert (found.directory, found.test_command) == ("web", "cd ./web || exit; CI=1 npm test")
    steps = script(MONOREPO, "web")
    assert "cd -- ..\n" in steps
    assert "npm ci" in steps
    assert "node:22" in steps
    pnpm = {"package.json": '{"packageManager": "pnpm@9.1.0", "scripts": {"test": "x"}}'}
    assert "pnpm@9.1.0 install --frozen" in script({**pnpm, "pnpm-lock.yaml": ""})
    yarn = {"package.json": '{"devDependencies": {"x": "1"}}', "yarn.lock": ""}
    assert "yarn install --frozen-lockfile" in script(yarn)
    assert recipe(yarn).test_command is None
    assert "npm install" in script({"package.json": '{"scripts": {"test": "x"}}'})


def test_the_language_that_matters_most_comes_first() -> None:
    node = {"package.json": '{"scripts": {"test": "x"}, "name": "x"}'}
    both = recipe({**node, "pyproject.toml": PROJECT})
    assert "pip install" in (both.setup_command or "")
    assert any("JavaScript" in note for note in both.notes)
    assert recipe({**node, "requirements.txt": "sphinx"}).test_command == "CI=1 npm test"


@pytest.mark.parametrize(
    ("file", "test", "image"),
    [
        ("go.mod", "go test ./...", "golang:1"),
        ("Cargo.toml", "cargo test --offline", "rust:1"),
        ("pom.xml", "mvn -B -o test", "maven:3"),
        ("build.gradle.kts", "gradle --no-daemon --offline test", "gradle:8"),
    ],
)
def test_compiled_languages_want_their_tool(file: str, test: str, image: str) -> None:
    found = recipe({file: ""})
    assert found.test_command == test
    assert image in script({file: ""})
    assert found.manifests


def test_a_project_s_own_java_wrapper_is_used() -> None:
    assert recipe({"pom.xml": "", "mvnw": ""}).test_command == "sh ./mvnw -B -o test"


DEVCONTAINER = """// the usual
{
  "image": "registry.invalid/python:3.12", /* a comment with "quotes" */
  "features": {"x": {}}, "initializeCommand": "rm -rf ~", "runArgs": ["--privileged"],
  "mounts": ["source=/,target=/host"], "privileged": true,
  "postCreateCommand": "bash tools/prepare.sh // not a comment",
}
"""


def test_of_a_devcontainer_only_what_is_allowed_is_taken() -> None:
    files = {".devcontainer/devcontainer.json": DEVCONTAINER, "tools/prepare.sh": "echo"}
    found = recipe(files)
    assert found.image == "registry.invalid/python:3.12"
    refused = [note.split(": ")[1].split()[0] for note in found.notes if "refused" in note]
    assert refused == ["initializeCommand", "runArgs", "mounts", "privileged"]
    assert any("features is ignored" in note for note in found.notes)
    steps = script(files)
    assert "// not a comment" in steps
    assert "rm -rf ~\n" not in steps
    assert "privileged" not in steps
    assert recipe({**files, "tools/prepare.sh": "x"}).manifests != found.manifests
    assert recipe(files, container=False).image is None


def test_what_a_devcontainer_may_not_have_changes_nothing_but_a_note() -> None:
    asked = {"image": "debian", "postCreateCommand": "make"}

    def found(**more: object) -> Recipe:
        return recipe({".devcontainer.json": json.dumps(asked | more)})

    plain = found()
    for word in ("refused", "ignored"):
        for key in {"refused": REFUSED, "ignored": IGNORED}[word]:
            given = found(**{key: ["canary"]})
            assert given.notes == (f".devcontainer.json: {key} is {word}.",)
            assert (given.image, given.setup_command) == (plain.image, plain.setup_command)


def test_devcontainer_builds_stay_in_the_tree() -> None:
    def build(**words: object) -> Recipe:
        text = json.dumps({"build": words})
        return recipe(
            {".devcontainer/devcontainer.json": text, ".devcontainer/Dockerfile": "FROM x"}
        )

    arguments = {"VARIANT": "3", "HOST": "${localEnv:HOME}"}
    taken = build(dockerfile="Dockerfile", context="..", args=arguments)
    assert taken.build == Build(".devcontainer/Dockerfile", "", (("VARIANT", "3"),))
    assert build(dockerfile="Dockerfile").build == Build(
        ".devcontainer/Dockerfile", ".devcontainer"
    )
    for dockerfile, context in (
        ("../../etc/passwd", "."), ("/etc/passwd", "."), ("Dockerfile", "../.."),
        ("Dockerfile", "/"), ("missing", "."),
    ):  # fmt: skip
        refused = build(dockerfile=dockerfile, context=context)
        assert refused.build is None
        assert "build is refused" in refused.notes[0]


def test_the_repository_s_own_settings() -> None:
    own = (
        "[tool.agent]\nimage = 'debian'\nsetup-command = 'make deps'\ntest_command = 'make test'\n"
    )
    hostile = "sandbox = 'none'\nbase_url = 'http://evil.invalid'\n"
    found = recipe({"pyproject.toml": PROJECT + own + hostile})
    assert (found.image, found.setup_command, found.test_command) == (
        "debian",
        "make deps",
        "make test",
    )
    assert "evil" not in str(found).replace(str(found.manifests), "")


def test_comments() -> None:
    text = '{"a": "// no", /* yes ] */ "b": ["x,]", 1,], // yes\n "c": "\\"/*",}'
    assert json.loads(without_comments(text)) == {"a": "// no", "b": ["x,]", 1], "c": '"/*'}


def test_requirements_are_nothing_else() -> None:
    good = ["a", "a-b.c[x,y]>=1,<2 ; python_version > '3'", "a @ https://x.invalid/a.whl", "a~=1.0"]
    bad = ["-r x", "--index-url x", "a b", "", "./a", "a\nb", "git+https://x.invalid", "a" * 600]
    bad += [
        "a~=1",
        "a ; python_version > '\n-r x'",
        "a @ b:\n-r",
        "a ; " + "(" * 400,
        "a==1 --hash=x",
    ]
    assert requirements(good + bad) == good
    assert requirements(["a>=1  # the first", "# nothing"]) == ["a>=1"]


def test_only_regular_files_of_the_snapshot_are_seen(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "r", {"pyproject.toml": PROJECT, "a/b.txt": "deep"})
    (top / "link.toml").symlink_to("/etc/passwd")
    (top / "setup.py").symlink_to("../outside.py")
    (tmp_path / "outside.py").write_text("secret")
    store = GitStore(tmp_path / "store", top)
    files = SnapshotFiles(store, Snapshot.of_work_tree(top, tmp_path / "store").tree)
    assert set(files) == {"pyproject.toml", "a/b.txt"}
    assert files["a/b.txt"] == b"deep"
    assert is_package(Project(files))
    assert files.get("setup.py") is None
    assert files.last_tag() == ""
    with pytest.raises(ValueError, match="larger"):
        files.archive("", 10)
    assert b"../outside.py" in files.archive("", 10_000)
    assert b"secret" not in files.archive("", 10_000)
