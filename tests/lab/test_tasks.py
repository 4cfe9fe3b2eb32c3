"""Tasks of one's own: read back as instances, the solution resolves them, nothing gives it away."""

from __future__ import annotations

import json
import tarfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import require

from reapair.agent.lab.evaluate.evaluation import Plan, evaluate
from reapair.agent.lab.evaluate.instances import read_instances
from reapair.agent.lab.evaluate.state import make_state
from reapair.agent.lab.evaluate.unpack import extract
from reapair.agent.lab.tasks.bugs import bugs, is_product
from reapair.agent.lab.tasks.make import TasksError, make_tasks
from reapair.agent.settings.settings import Settings
from support.proved import FAST
from support.repositories import git, make_repository

pytestmark = pytest.mark.slow

STORE = '''"""What is in the store."""


class Store:
    def __init__(self):
        self.items = {}

    def add(self, name, count=1):
        if count < 1 or not name:
            raise ValueError(name)
        before = self.items.get(name, 0)
        self.items[name] = before + count
        return self.items[name]

    def total(self, names=None):
        result = 0
        for name, count in self.items.items():
            if names is None or name in names:
                result = result + count
        return result
'''

TESTS = """from store import Store


def test_add():
    assert Store().add("pen", 2) == 2


def test_total():
    store = Store()
    store.add("pen", 2)
    store.add("ink")
    assert store.total() == 3
    assert store.total(["ink"]) == 1
"""

EMPTY_TESTS = "from store import Store\n\n\ndef test_nothing():\n    assert Store().items == {}\n"

FILES = {
    "store.py": STORE,
    "tests/test_store.py": TESTS,
    "tests/test_empty.py": EMPTY_TESTS,
    "conftest.py": "",
    "__pycache__/store.cpython-311.pyc": "compiled",
    ".gitattributes": "* text=auto\n",
}

SETTINGS = Settings(sandbox="none", test_command=FAST)


@pytest.fixture(scope="module", autouse=True)
def _generator() -> None:
    require("swesmith", find_spec("swesmith") is not None, "pip install 'reapair[eval]'")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tasks")
    repository = make_repository(place / "repository", FILES)
    before = git(repository, "status", "--porcelain")
    assert len(make_tasks(repository, place / "out", 2, 3, SETTINGS)) == 2
    assert git(repository, "status", "--porcelain") == before
    return place / "out"


def test_they_are_read_back(made: Path, tmp_path: Path) -> None:
    for instance in read_instances(made):
        assert instance.schema_name == "swe-smith"
        assert instance.fail_to_pass
        assert instance.pass_to_pass
        assert instance.test_command == FAST
        assert instance.fail_to_pass[0] in instance.problem_statement
        assert "    assert " in instance.problem_statement
        tree = make_state(instance, tmp_path / instance.id)
        assert git(tree, "rev-list", "--all", "--count").strip() == b"1"


def test_nothing_gives_the_solution_away(made: Path, tmp_path: Path) -> None:
    for place in made.iterdir():
        row = json.loads((place / "instance.json").read_text())
        with tarfile.open(place / "repo.tar.gz") as tar:
            names = tar.getnames()
            (tmp_path / place.name).mkdir()
            extract(tar, tar, tmp_path / place.name)
        assert "testbed/store.py" in names
        assert not [name for name in names if name.endswith(".pyc")]
        tree = tmp_path / place.name / "testbed"
        assert git(tree, "rev-list", "--all", "--reflog", "--count").strip() == b"1"
        assert git(tree, "status", "--porcelain") == b""
        for hidden in row["f2p_test_files"]:
            assert f"testbed/{hidden}" not in names
            assert f"+++ b/{hidden}" in (place / "test.patch").read_text()


def test_only_the_solution_resolves_them(made: Path, tmp_path: Path) -> None:
    for solver, resolved in (("gold", 2), ("empty", 0)):
        plan = Plan(made, tmp_path / solver, Settings(sandbox="none"), solver=solver)
        assert evaluate(plan).counts["resolved"] == resolved


def test_the_seed_decides(tmp_path: Path) -> None:
    (tmp_path / "store.py").write_text(STORE)
    first, again, other = (
        [bug.id for bug in bugs(tmp_path, ["store.py"], seed)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert len(set(first)) == len(first) > 3


def test_what_cannot_be_read_gets_no_bugs(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_bytes(b"\xff\xfe\0 def")
    (tmp_path / "worse.py").write_text("(" * 5_000)
    assert not list(bugs(tmp_path, ["bad.py", "worse.py", "gone.py"], 1))
    assert [is_product(name) for name in ("a/b.py", "tests/a.py", "a/test_b.py", "setup.py")] == [
        True,
        False,
        False,
        False,
    ]


def test_a_repository_without_tests_is_refused(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository", {"store.py": STORE})
    with pytest.raises(TasksError, match="No test passes"):
        make_tasks(repository, tmp_path / "out", 1, 1, SETTINGS)
