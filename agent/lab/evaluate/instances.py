"""Reads benchmark instances in any of the common schemas.

SWE-smith: `patch` is the BUG and the state is a branch named like the instance; SWE-bench and
SWE-rebench: `patch` is the fix, `test_patch` brings the hidden tests, the state is `base_commit`;
Harbor: a directory with `task.toml`. A directory with `instance.json` holds one instance with its
repository as an archive beside it.
"""

from __future__ import annotations

import ast
import codecs
import json
import re
import shlex
import tomllib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Schema = Literal["swe-smith", "swe-bench", "swe-rebench", "harbor"]

Row = dict[str, Any]
"""Somebody's columns, unchecked."""

_TEXT = r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\""""
_PYTHON_LIST = re.compile(rf"\s*[\[(]\s*(?:(?:{_TEXT})\s*(?:,\s*)?)*[\])]\s*")
"""A list of texts as Python or NumPy prints it."""


class InstanceError(Exception):
    """The tasks can't be read. The message says which one and why."""


class Instance(BaseModel):
    """One task: an issue, a repository's state, and what is hidden until it is graded.

    Attributes:
        id: told apart from all others of the set by this alone.
        problem_statement: all that the model is told.
        repo: the repository's name, `owner/name`.
        version: of the repository, as SWE-bench counts them.
        base_commit: the state's commit or branch; "" where archive or image are the state.
        image: container image that holds the state and its environment; "" where there is none.
        archive: file with the state, or a Harbor task's directory; None where there is none.
        top: folder of the archive that is the repository.
        bug_patch: what put the bug in; the solution is its reverse. Hidden.
        gold_patch: the solution. Hidden.
        test_patch: brings the hidden tests. Hidden.
        fail_to_pass, pass_to_pass: test ids that decide. Hidden.
        test_command: runs the suite; "" where the repository shows it.
        setup_command: installs what the tests need; "" where the repository shows it.
        timeout: seconds that the suite may take.
    """

    model_config = ConfigDict(frozen=True)

    id: str = Field(pattern=r"^[\w@+=-][\w.@+=-]{0,199}$")
    schema_name: Schema
    problem_statement: str = ""
    repo: str = ""
    version: str = ""
    base_commit: str = ""
    image: str = ""
    archive: Path | None = None
    top: str = "."
    bug_patch: str = ""
    gold_patch: str = ""
    test_patch: str = ""
    fail_to_pass: list[str] = Field(default_factory=list)
    pass_to_pass: list[str] = Field(default_factory=list)
    test_command: str = ""
    setup_command: str = ""
    timeout: float = Field(1800.0, gt=0, allow_inf_nan=False)


def read_instances(source: Path) -> Iterator[Instance]:
    """Yield the instances of a file (JSON Lines, JSON, Parquet) or directory, one at a time.

    Raises InstanceError for a source that holds none, or a task that can't be understood.
    """
    if not source.exists():
        raise InstanceError(f"There is no {source}. Give a file or directory with tasks.")
    if source.is_dir():
        yield from _of_directory(source)
        return
    for number, row in enumerate(_rows(source), 1):
        yield _of_row(row, f"{source.name}, row {number}", source.parent)


def _of_directory(directory: Path) -> Iterator[Instance]:
    one = _one_task(directory)
    if one:
        yield one
        return
    found = False
    for child in sorted(directory.iterdir()):
        if child.is_dir() and (task := _one_task(child)):
            found = True
            yield task
    if found:
        return
    # A data set as the hub has it: its files in a folder, often in `data`.
    files = sorted(file for end in (".jsonl", ".parquet") for file in directory.rglob(f"*{end}"))
    for file in files:
        yield from read_instances(file)
    if not files:
        raise InstanceError(
            f"{directory} holds no tasks: no folder with an instance.json or a task.toml, and no "
            "JSON Lines or Parquet file."
        )


def _one_task(directory: Path) -> Instance | None:
    if (directory / "instance.json").is_file():
        file = directory / "instance.json"
        row = _json(file.read_text(_encoding(file)), str(directory))
        return _of_row(row, directory.name, directory)
    if (directory / "task.toml").is_file():
        return _of_harbor(directory)
    return None


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    if file.suffix == ".parquet":
        yield from _parquet(file)
    elif file.suffix == ".jsonl":
        with file.open(encoding=_encoding(file), errors="replace") as lines:
            for line in lines:
                if line.strip():
                    yield _json(line, file.name)
    else:
        read = _json(file.read_text(_encoding(file), "replace"), file.name)
        if isinstance(read, dict):
            read = [read] if "instance_id" in read else list(read.values())
        yield from read if isinstance(read, list) else [read]


def _encoding(file: Path) -> str:
    """Return the encoding that a file's first bytes show; Windows writes such marks."""
    with file.open("rb") as data:
        start = data.read(2)
    return "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _parquet(file: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise InstanceError(
            "Parquet files need pyarrow. Install it: pip install 'reapair[eval]'"
        ) from error
    for batch in parquet.ParquetFile(file).iter_batches(batch_size=64):
        yield from batch.to_pylist()


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InstanceError(f"{where} is not JSON: {error}.") from error


def schema_of(row: Row) -> Schema:
    """Return a row's schema, as its columns show it."""
    if "install_config" in row or "docker_image" in row:
        return "swe-rebench"
    image = str(row.get("image_name") or "")
    if "swesmith" in image or str(row.get("repo", "")).startswith("swesmith/"):
        return "swe-smith"
    return "swe-bench" if "test_patch" in row else "swe-smith"


def _of_row(row: Any, where: str, beside: Path) -> Instance:
    """Return the instance that a row describes; files that it names lie beside it."""
    if not isinstance(row, dict) or "instance_id" not in row:
        raise InstanceError(f"{where} is no task: it has no instance_id.")
    schema = schema_of(row)
    try:
        facts = _of_any(row) | _READERS[schema](row) | _of_files(row, beside)
    except (InstanceError, TypeError, AttributeError, ValueError, OSError) as error:
        raise InstanceError(f"{where} cannot be read: {error}.") from error
    # What a row leaves empty is as if it were not there.
    return _validated({"schema_name": schema} | {k: v for k, v in facts.items() if v}, where)


def _of_any(row: Row) -> dict[str, Any]:
    """Read the columns that mean the same in each schema."""
    facts = {
        "id": row["instance_id"],
        "problem_statement": row.get("problem_statement"),
        "repo": row.get("repo"),
        "version": str(row.get("version") or ""),
        "base_commit": row.get("base_commit"),
        "image": row.get("image_name"),
        "gold_patch": row.get("gold_patch") or row.get("patch"),
        "test_patch": row.get("test_patch"),
        "fail_to_pass": _listed(row, "FAIL_TO_PASS"),
        "pass_to_pass": _listed(row, "PASS_TO_PASS"),
        "test_command": row.get("test_cmd"),
        "setup_command": _setup(row),
    }
    if row.get("test_timeout"):
        facts["timeout"] = max(float(row["test_timeout"]), 90.0) * 10
    return facts


def _of_smith(row: Row) -> dict[str, Any]:
    return {
        "base_commit": row.get("base_commit") or row["instance_id"],
        "bug_patch": row.get("patch"),
        "gold_patch": row.get("gold_patch"),
    }


def _of_bench(row: Row) -> dict[str, Any]:
    # Docker Hub allows no double underscore, nor capitals.
    name = str(row["instance_id"]).replace("__", "_1776_").lower()
    return {"image": row.get("image_name") or f"swebench/sweb.eval.x86_64.{name}:latest"}


def _of_rebench(row: Row) -> dict[str, Any]:
    config = row.get("install_config") or {}
    if isinstance(config, str):
        config = _json(config, "install_config")
    return {
        "image": row.get("docker_image") or row.get("image_name"),
        "test_command": row.get("test_cmd") or config.get("test_cmd"),
        "setup_command": _setup(config | {k: v for k, v in row.items() if v}),
    }


_READERS: dict[str, Callable[[Row], dict[str, Any]]] = {
    "swe-smith": _of_smith,
    "swe-bench": _of_bench,
    "swe-rebench": _of_rebench,
}
"""What each schema of rows says in its own way; another schema is another entry."""


def _of_files(row: Row, beside: Path) -> dict[str, Any]:
    """Read what lies beside the row: the repository as an archive, the hidden tests as a patch."""
    archive, tests = row.get("repo_archive"), row.get("test_patch_file")
    for name in filter(None, (archive, tests)):
        if not (beside / name).resolve().is_relative_to(beside.resolve()):
            raise ValueError(f"it names a file outside its folder: {name}")
    facts = {"archive": beside / archive, "image": ""} if archive else {}
    if tests:
        facts["test_patch"] = (beside / tests).read_text("utf-8")
    return facts | {"top": row.get("repo_dir")}


def _setup(row: Row) -> str:
    """Return the commands that install the requirements and then the project."""
    packages = [*_packages(row.get("requirements")), *_packages(row.get("pip_packages"))]
    commands = _strings(row.get("pre_install"))
    if packages:
        commands.append("pip install " + " ".join(map(shlex.quote, packages)))
    return " && ".join([*commands, *_strings(row.get("install"))])


def _packages(value: Any) -> list[str]:
    """Return pip's arguments: a list's entries, or what a requirements file's text holds."""
    if not isinstance(value, str):
        return _strings(value)
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in value.splitlines())
    return [word for line in lines if line for word in _requirement(line)]


def _requirement(line: str) -> list[str]:
    try:
        Requirement(line)
    except InvalidRequirement:
        return shlex.split(line)
    return [line]


def _strings(value: Any) -> list[str]:
    if not value:
        return []
    return [value] if isinstance(value, str) else [str(each) for each in value]


def _listed(row: Row, column: str) -> list[str]:
    """Read a list of test ids, which data sets also write as the text of one, or in lower case."""
    value = row.get(column, row.get(column.lower()))
    if isinstance(value, str) and _PYTHON_LIST.fullmatch(value):
        return [_python_text(text, column) for text in re.findall(_TEXT, value)]
    read = _json(value, column) if isinstance(value, str) else value
    if isinstance(read, str | dict):
        raise InstanceError(f"{column} is no list")
    return [str(each) for each in (read if read is not None else [])]


def _python_text(literal: str, column: str) -> str:
    try:
        with warnings.catch_warnings(action="ignore"):
            return str(ast.literal_eval(literal))
    except (SyntaxError, ValueError) as error:
        raise InstanceError(f"{column} holds an escape that is not valid: {literal}") from error


def _of_harbor(directory: Path) -> Instance:
    """Read a Harbor task: its own `tests/test.sh` decides, so there are no test ids."""
    try:
        task = tomllib.loads((directory / "task.toml").read_text("utf-8"))
        statement = (directory / "instruction.md").read_text("utf-8")
    except (OSError, ValueError) as error:
        raise InstanceError(f"{directory.name} is no Harbor task: {error}.") from error
    facts = {
        "id": directory.name,
        "schema_name": "harbor",
        "problem_statement": statement,
        "image": task.get("environment", {}).get("docker_image") or "",
        "archive": directory,
        "fail_to_pass": ["tests/test.sh"],
        "timeout": task.get("verifier", {}).get("timeout_sec", 900.0),
    }
    return _validated(facts, directory.name)


def _validated(facts: dict[str, Any], where: str) -> Instance:
    try:
        return Instance(**facts)
    except ValidationError as error:
        first = error.errors()[0]
        raise InstanceError(f"{where}: {first['loc'][0]}: {first['msg']}.") from error
