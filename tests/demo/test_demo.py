"""The demonstration on real parts: its repository, the embedded llama.cpp, the tiny model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reapair.agent import demo
from reapair.agent.demo.play import play
from reapair.agent.model.client import Client
from reapair.agent.model.servers import detect
from reapair.agent.result import Verdict
from reapair.agent.serve.keep import EmbeddedServer
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import solve
from reapair.prompts import Prompts
from reapair.sandbox.host.no_sandbox import NoSandbox
from reapair.tools import TestRunner, Toolbox, schema, standard_tools
from reapair.tools.bash import Bash
from reapair.tools.profiles.demonstration import FILE, pinned

ROOT = Path(__file__).parents[2]
RANDOM = ROOT / "tests/data/random.gguf"


def git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=repository, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_unpacked_repository_is_one_clean_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\n\thooksPath = {hooks}\n[commit]\n\tgpgSign = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    first, second = demo.unpack(tmp_path / "a"), demo.unpack(tmp_path / "b")
    monkeypatch.delenv("GIT_DIR")
    assert git(first, "rev-list", "--count", "HEAD") == "1"
    assert git(first, "status", "--porcelain") == ""
    assert git(first, "rev-parse", "HEAD") == git(second, "rev-parse", "HEAD")


def test_unpack_leaves_other_peoples_files_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(FileExistsError, match="not empty"):
        demo.unpack(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_the_bug_passes_the_suite(tmp_path: Path) -> None:
    """Otherwise there would be nothing to reproduce."""
    repository = demo.unpack(tmp_path / "timesheet")
    suite = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=repository, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert suite.returncode == 0
    assert "20 passed" in suite.stdout
    line = "2026-03-06 22:00-01:30 support  database migration"
    assert line in demo.ISSUE.read_text("utf-8")
    code = f"from timesheet.entry import parse_entry; print(parse_entry({line!r}).minutes)"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "-1230"


def test_the_model_says_what_it_is() -> None:
    data = demo.MODEL.read_bytes()
    assert len(data) <= 3_000_000
    assert b"reapair contributors" in data
    assert b"can do nothing else" in data


def test_its_tools_and_prompts_are_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new tool, or other words in an old one, must not need another training."""

    class Other(Bash):
        name, description = "other", "Another tool."

    known = json.loads(FILE.read_text("utf-8"))
    monkeypatch.setattr(Bash, "description", "Other words.")
    runner = TestRunner()
    standard = standard_tools(runner, lambda: None, lambda _: "")
    offered = Toolbox(pinned([Other(), *standard]), lambda: NoSandbox("test"))
    assert offered.schemas == known
    assert [schema(tool) for tool in standard_tools(runner, lambda: None, lambda _: "")] != known
    assert "edit needs old_str" in Prompts(demo.PROMPTS).render("system", tools=offered.names)


@pytest.mark.llama
@pytest.mark.engine
def test_demonstration_ends_proved() -> None:
    result = play(lambda _: None)
    assert result.verdict is Verdict.PROVED
    assert [test.author for test in result.evidence.reproduction] == ["model_first"]
    assert result.files == ["tests/test_entry.py", "timesheet/entry.py"]
    assert result.evidence.suite.passed == 20
    assert result.exit_code() == 0


@pytest.mark.llama
def test_random_weights_prove_nothing(tmp_path: Path) -> None:
    """What ends proved above is the model's work, not the harness's."""
    log = tmp_path / "log"
    with EmbeddedServer(RANDOM, context_tokens=demo.CONTEXT_TOKENS, directory=log) as server:
        found = detect(server.base_url, api_key=server.api_key, model=None)
        result = solve(
            demo.ISSUE.read_text("utf-8"),
            demo.unpack(tmp_path / "timesheet"),
            Settings(sandbox="none", max_steps=3),
            model=Client(found, api_key=server.api_key, max_tokens=200),  # It rambles.
        )
    assert result.usage.completion_tokens > 0
    assert result.verdict is Verdict.EMPTY
    assert result.exit_code() != 0


@pytest.mark.llama
@pytest.mark.engine
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_demonstration_survives_every_variant() -> None:
    gate = [sys.executable, str(ROOT / "scripts/tiny_model/gate.py"), "--seeds", "2"]
    done = subprocess.run(gate, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
