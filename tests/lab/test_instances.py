"""Every common schema is told by itself, and what is hostile in a row is refused."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from reapair.agent.lab.evaluate.instances import Instance, InstanceError, read_instances
from reapair.agent.lab.evaluate.predictions import Predictions

BENCH = {
    "instance_id": "Django__django-1",
    "repo": "django/django",
    "base_commit": "abc",
    "version": "4.0",
    "patch": "the fix",
    "test_patch": "the tests",
    "problem_statement": "It fails.",
    "FAIL_TO_PASS": '["t::a"]',
    "PASS_TO_PASS": '["t::b", "t::c[x y]"]',
}
SMITH = {
    "instance_id": "o__r.01234567.func_pm__aaaa",
    "repo": "swesmith/o__r.01234567",
    "patch": "the bug",
    "problem_statement": "It fails.",
    "FAIL_TO_PASS": ["t::a"],
    "PASS_TO_PASS": ["t::b"],
    "image_name": "swebench/swesmith.x86_64.o_1776_r.01234567",
}
REBENCH = BENCH | {
    "instance_id": "o__r-7",
    "docker_image": "somebody/image",
    "FAIL_TO_PASS": ["t::a"],
    "PASS_TO_PASS": [],
    "install_config": {
        "test_cmd": "pytest -rA",
        "install": "pip install -e .",
        "pre_install": ["apt-get update"],
        "pip_packages": ["x==1", "y z"],
    },
}


def read(place: Path, *rows: dict[str, Any], name: str = "rows.jsonl") -> list[Instance]:
    file = place / name
    if name.endswith(".jsonl"):
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        file.write_text(json.dumps(list(rows)))
    return list(read_instances(file))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_schemas_are_told_apart(tmp_path: Path, name: str) -> None:
    bench, smith, rebench = read(tmp_path, BENCH, SMITH, REBENCH, name=name)
    assert [one.schema_name for one in (bench, smith, rebench)] == [
        "swe-bench",
        "swe-smith",
        "swe-rebench",
    ]
    assert (bench.gold_patch, bench.bug_patch, bench.version) == ("the fix", "", "4.0")
    assert bench.image == "swebench/sweb.eval.x86_64.django_1776_django-1:latest"
    assert bench.pass_to_pass == ["t::b", "t::c[x y]"]
    # What is a fix elsewhere is the bug here.
    assert (smith.gold_patch, smith.bug_patch) == ("", "the bug")
    assert (smith.base_commit, smith.fail_to_pass) == (smith.id, ["t::a"])
    assert (rebench.image, rebench.test_command) == ("somebody/image", "pytest -rA")
    assert rebench.setup_command == "apt-get update && pip install x==1 'y z' && pip install -e ."


def test_a_folder_of_data_is_read(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    read(tmp_path / "data", BENCH)
    assert [one.id for one in read_instances(tmp_path)] == ["Django__django-1"]


def test_parquet_is_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs reapair[eval]")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist([SMITH]), tmp_path / "rows.parquet")
    [smith] = read_instances(tmp_path / "rows.parquet")
    assert (smith.bug_patch, smith.pass_to_pass) == ("the bug", ["t::b"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"instance_id": "../up"}, "id"),
        ({"instance_id": "a/b"}, "id"),
        ({"instance_id": ".."}, "id"),
        ({"instance_id": "a\n"}, "id"),
        ({"repo_archive": "../secret.tar.gz"}, "outside its folder"),
        ({"test_patch_file": "/etc/passwd"}, "outside its folder"),
        ({"FAIL_TO_PASS": "not json"}, "is not JSON"),
        ({"FAIL_TO_PASS": "[" * 100_000}, "is not JSON"),
        ({"FAIL_TO_PASS": 7}, "cannot be read"),
        ({"instance_id": 7}, "id"),
        ({"instance_id": ["x"]}, "id"),
        ({"install_config": "pytest"}, "cannot be read"),
        ({"install_config": {"pip_packages": 7}}, "cannot be read"),
        ({"test_timeout": "soon"}, "cannot be read"),
        ({"test_timeout": "nan"}, "timeout"),
        ({"repo_archive": 7}, "cannot be read"),
        ({"repo_archive": "a\0b"}, "cannot be read"),
        ({"test_patch_file": "missing"}, "cannot be read"),
        ({"problem_statement": {"a": 1}}, "problem_statement"),
    ],
)
def test_hostile_rows_are_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(InstanceError, match=words):
        read(tmp_path, BENCH | change)


def test_what_holds_no_tasks_is_named(tmp_path: Path) -> None:
    with pytest.raises(InstanceError, match="holds no tasks"):
        list(read_instances(tmp_path))
    with pytest.raises(InstanceError, match="There is no"):
        list(read_instances(tmp_path / "nowhere"))
    with pytest.raises(InstanceError, match="no instance_id"):
        read(tmp_path, {"a": 1})
    (tmp_path / "number.json").write_text("7")
    with pytest.raises(InstanceError, match="no instance_id"):
        list(read_instances(tmp_path / "number.json"))


# --- rows as data sets and editors really write them ------------------------------------------


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "task/instance.json"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_marks_at_the_start_of_a_file_are_no_content(
    tmp_path: Path, name: str, encoding: str
) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    row = BENCH | {"problem_statement": "Größe"}
    file.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding)
    source = file.parent if name.startswith("task") else file
    assert [one.problem_statement for one in read_instances(source)] == ["Größe"]


@pytest.mark.parametrize(
    ("value", "listed"),
    [
        ("""['a', "b's"]""", ["a", "b's"]),
        ("('t::x[1, 2]',)", ["t::x[1, 2]"]),
        (r"['a\'b' 'c']", ["a'b", "c"]),
        (r"['t[\d]']", [r"t[\d]"]),
        ("[]", []),
        (["a"], ["a"]),
        ('["a\\u00e9"]', ["aé"]),
        (None, []),
    ],
)
@pytest.mark.parametrize("column", ["FAIL_TO_PASS", "fail_to_pass"])
def test_lists_of_tests_in_any_notation(
    tmp_path: Path, column: str, value: Any, listed: list[str]
) -> None:
    row = {key: each for key, each in BENCH.items() if key != "FAIL_TO_PASS"}
    assert read(tmp_path, row | {column: value})[0].fail_to_pass == listed


@pytest.mark.parametrize(
    "value", ["t.py::x", "['a', open('x')]", r"['\x']", "['a'", '"a"', "[" * 5000]
)
def test_a_column_that_is_no_list_is_named(tmp_path: Path, value: str) -> None:
    with pytest.raises(InstanceError, match="PASS_TO_PASS"):
        read(tmp_path, BENCH | {"PASS_TO_PASS": value})


@pytest.mark.parametrize(
    ("columns", "command"),
    [
        ({"requirements": "numpy==1.0\npytest==7\n"}, "numpy==1.0 pytest==7"),
        ({"requirements": "# made by pip\nx >= 1\r\n\r\ny  # why\n"}, "'x >= 1' y"),
        ({"requirements": "-e git+https://h/r.git#egg=r\n"}, "-e 'git+https://h/r.git#egg=r'"),
        ({"pip_packages": "numpy 'pytest<8'"}, "numpy 'pytest<8'"),
        ({"pip_packages": ["numpy", "pytest<8"]}, "numpy 'pytest<8'"),
        ({"requirements": "x; python_version < '3.9'"}, shlex.quote("x; python_version < '3.9'")),
    ],
)
def test_requirements_as_text_or_list(
    tmp_path: Path, columns: dict[str, Any], command: str
) -> None:
    config = {"install_config": {"install": "pip install -e ."}}
    (one,) = read(tmp_path, BENCH | columns | config)
    assert one.setup_command == f"pip install {command} && pip install -e ."
    (nested,) = read(tmp_path, BENCH | {"install_config": json.dumps(columns)})
    assert nested.setup_command == f"pip install {command}"


@pytest.mark.parametrize("patch", ["\udc80\ud83d", "+x\ud800", "\ude00"])
@pytest.mark.parametrize("name", ["preds.jsonl", "list.json", "map.json"])
def test_a_prediction_cut_within_a_character_is_named(
    tmp_path: Path, name: str, patch: str
) -> None:
    entries = [{"instance_id": "a-1", "model_patch": "+ok\udcff"}]
    entries.append({"instance_id": "a-2", "model_patch": patch})
    file = tmp_path / name
    if name == "preds.jsonl":
        file.write_text("".join(json.dumps(each) + "\n" for each in entries))
    else:
        listed: Any = entries if name == "list.json" else {e["instance_id"]: e for e in entries}
        file.write_text(json.dumps(listed))
    with pytest.raises(InstanceError, match="line 2" if name == "preds.jsonl" else "a-2"):
        Predictions(file)
    file.write_text(json.dumps(entries[0]) if name == "preds.jsonl" else json.dumps(entries[:1]))
    assert Predictions(file).patch("a-1") == b"+ok\xff"
