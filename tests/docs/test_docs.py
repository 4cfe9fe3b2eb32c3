"""The documents: every command and every example in them runs, every link leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import reapair
from reapair.agent.lab.export.choose import INSTANCES
from support.proved import FAST, proved_task
from support.scripted_server import ScriptedServer
from support.tasks import script, turn

ROOT = Path(__file__).parents[2]
ELSEWHERE = {"github.md", "evaluation.md", "events.md"}
"""Pages whose commands need GitHub or benchmark tasks; the tests of those rooms run them."""

PAGES = [
    *[ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")],
    *[page for page in sorted((ROOT / "docs").glob("*.md")) if page.name not in ELSEWHERE],
]
EXAMPLE_RUN = re.compile(r"\b\d{4}-[0-9a-f]{6}\b")
CODES = {"solve": (0, 9, 10, 12), "continue": (0, 9, 10, 12), "resume": (0,), "doctor": (0, 3)}


def blocks(kind: str) -> Iterator[tuple[str, str]]:
    """Yield page and content of each fenced block of one kind."""
    for page in PAGES:
        for found in re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S):
            yield page.name, found


def commands() -> list[str]:
    """Return the commands of all pages, each once, in their order."""
    found: dict[str, None] = {}
    for page, block in blocks("console"):
        lines = block.replace("\\\n", " ").splitlines()
        assert all(line.startswith("$ ") for line in lines), f"{page}: {block}"
        found |= dict.fromkeys(line[2:] for line in lines)
    return list(found)


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """Submit, whatever is asked."""
    return turn("submit", summary="Done.") if body.get("tools") else {"content": "Done."}


class Place:
    """A user's repository, home and server, with one finished run."""

    def __init__(self, directory: Path) -> None:
        task = proved_task(directory / "repository")
        self.repository = task.repository
        (self.repository / "issue.md").write_text(task.issue)
        (self.repository / "my-prompts").mkdir()
        (self.repository / "my-prompts" / "issue.md").write_text("Mend: {{ issue }}")
        self.server = ScriptedServer([*script(task, task.gold), *[answer] * 999])
        self.variables = {
            "AGENT_BASE_URL": self.server.base_url,
            "AGENT_SANDBOX": "none",
            "AGENT_STRATEGY": "loop",
            "AGENT_TEST_COMMAND": FAST,
            "HOME": str(directory / "home"),
            "XDG_STATE_HOME": str(directory / "state"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        done = self.run(f'agent solve "{task.issue}" --quiet')
        assert done.returncode in (0, 9), done.stdout + done.stderr
        [self.run_id] = [path.name for path in (directory / "state/agent/runs").iterdir()]
        instance = self.repository / "evaluation" / INSTANCES / "calc"
        instance.mkdir(parents=True)
        (instance / "runs").symlink_to(directory / "state/agent/runs")

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("AGENT_", "OPENAI_"))}
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.repository,
            env=kept | self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("docs"))
    yield place
    place.server.close()


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_every_command_runs(place: Place, command: str) -> None:
    words = command.split()
    if words[0] in ("make", "sudo", ".ci/engine", "pipx"):
        _check_of_the_checkout(command)
        return
    if command == "agent serve":
        command += " --dry-run --engine embedded"
    done = place.run(EXAMPLE_RUN.sub(place.run_id, command))
    name = words[words.index("agent") + 1] if "agent" in words else ""
    assert done.returncode in CODES.get(name, (0,)), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def _check_of_the_checkout(command: str) -> None:
    """Check what would change the machine without doing it."""
    words = command.split()
    if words[0] == "make":
        subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)
    elif words[0] == "pipx":
        extras = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text("utf-8"), re.M)
        assert re.search(r"reapair\[(\w+)\]", command)[1] in extras  # type: ignore[index]
    else:
        assert (ROOT / ".ci" / "engine").read_text("utf-8").count(f"    {words[-1]})") == 1


EXAMPLES = [(f"{page}-{number}", text) for number, (page, text) in enumerate(blocks("python"))]


@pytest.mark.slow
@pytest.mark.parametrize("text", [text for _, text in EXAMPLES], ids=[name for name, _ in EXAMPLES])
def test_every_example_runs(
    place: Place, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith(("AGENT_", "OPENAI_")):
            monkeypatch.delenv(name)
    for name, value in place.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(place.repository)
    names: dict[str, Any] = {"__name__": "example"}
    if "read_instances(" in text:
        names |= {"tasks": _tasks(place, tmp_path), "patch": _patch(place)}
    exec(compile(text, "example", "exec", dont_inherit=True), names)
    if "read_instances(" in text:
        assert names["verdict"].resolved


def _tasks(place: Place, tmp_path: Path) -> Path:
    (tmp_path / "task").mkdir()
    with tarfile.open(tmp_path / "task" / "repo.tar.gz", "w:gz") as packed:
        # Without what the pages' other commands have left here.
        for name in ("calc.py", "test_calc.py"):
            packed.add(place.repository / name, name)
    (tmp_path / "task" / "instance.json").write_text(
        '{"instance_id": "calc", "problem_statement": "x", "repo_archive": "repo.tar.gz", '
        '"test_patch": "", "FAIL_TO_PASS": ["test_calc.py::test_mean"], "PASS_TO_PASS": []}'
    )
    return tmp_path / "task"


def _patch(place: Place) -> str:
    file = place.repository / "calc.py"
    text = file.read_text()
    file.write_text(text.replace("(len(values) - 1)", "len(values)"))
    done = place.run("git diff calc.py")
    file.write_text(text)
    return done.stdout


def test_every_public_name_stands_in_an_example() -> None:
    text = "".join(block for _, block in blocks("python")) + (
        ROOT / "docs" / "embedding.md"
    ).read_text("utf-8")
    missing = [name for name in reapair.__all__ if not re.search(rf"\b{name}\b", text)]
    assert missing == []


def test_every_public_name_has_words() -> None:
    assert [name for name in reapair.__all__ if not getattr(reapair, name).__doc__] == []


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text("utf-8")):
            path, _, heading = target.partition("#")
            file = page.parent / path if path else page
            assert file.exists(), f"{page.name}: {target}"
            anchors = [
                re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-")
                for line in file.read_text("utf-8").splitlines()
                if line.startswith("#")
            ]
            assert not heading or heading in anchors, f"{page.name}: {target}"


def test_the_table_of_settings_is_up_to_date() -> None:
    command = [sys.executable, "scripts/document_settings.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
