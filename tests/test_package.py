"""The wheel and the source distribution: everything is in them, and they work on their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import require

from support.scripted_server import ScriptedServer
from support.tasks import Task, commit, script

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(out), "."],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    require("package registry", built.returncode == 0, built.stderr[-500:])
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_it_puts_one_name_into_site_packages(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"reapair"}


def test_it_holds_what_the_checkout_holds(wheel: zipfile.ZipFile) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "agent", "tools", "sandbox", "prompts"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    packed = {name.removeprefix("reapair/") for name in wheel.namelist()}
    assert set(tracked) <= packed
    assert not [name for name in packed if "__pycache__" in name]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    out = tmp_path_factory.mktemp("source")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(out)],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    with tarfile.open(next(out.glob("*.tar.gz"))) as archive:
        archive.extractall(out)
    return next(path for path in out.iterdir() if path.is_dir())


def test_the_source_distribution_holds_what_the_checkout_holds(unpacked: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    links = {f"reapair/{name}" for name in ("agent", "prompts", "sandbox", "tools")}
    assert {name for name in tracked if not (unpacked / name).exists()} <= links


@pytest.mark.parametrize("links", ["missing", "text"])
def test_a_source_tree_without_links_runs(unpacked: Path, tmp_path: Path, links: str) -> None:
    for name in ("agent", "prompts", "sandbox", "tools") if links == "text" else ():
        (unpacked / "reapair" / name).write_text(f"../{name}")
    called = subprocess.run(
        [sys.executable, "-P", "-m", "reapair", "--help"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(unpacked)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (called.returncode, called.stderr) == (0, "")
    where = "import reapair.agent.solve as s, reapair.tools as t; print(s.__file__, t.__file__)"
    found = subprocess.run(
        [sys.executable, "-P", "-c", where], cwd=tmp_path, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(unpacked)}, capture_output=True,
    ).stdout  # fmt: skip
    assert found.split() == [f"{unpacked}/agent/solve.py", f"{unpacked}/tools/__init__.py"]


@pytest.mark.engine
@pytest.mark.llama
def test_the_demonstration_works_outside_the_checkout(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    wheel.extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-m", "reapair", "demo"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280,
        env=os.environ | {
            "PYTHONPATH": str(tmp_path / "site"), "XDG_STATE_HOME": str(tmp_path / "state"),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "proved:" in done.stdout
    assert "tiny" in done.stdout


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel; its dependencies are those that we have."""
    place = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    [site] = place.glob("lib/python*/site-packages")
    wheel.extractall(site)
    # Only the folder: what its own .pth files add, this checkout among it, stays away.
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return place / "bin" / "python"


HOST = """
import asyncio, logging, os, sys

logging.basicConfig(level=logging.DEBUG, filename=sys.argv[1], format="host %(name)s")
handlers = list(logging.root.handlers)
import agent.own, prompts.own, tools.own
from reapair import Agent, Settings

async def main():
    settings = Settings(
        base_url=sys.argv[2], sandbox="none", runs=sys.argv[3], keep=False, branch=False
    )
    return await Agent(settings).asolve("It is broken", ".")

result = asyncio.run(main())
import agent.late, tools.late
packages = (agent.own, prompts.own, tools.own, agent.late, tools.late)
assert {each.WHO for each in packages} == {"host"}
assert logging.root.handlers == handlers and logging.root.level == logging.DEBUG
print(result.status, result.verdict)
"""


@pytest.mark.parametrize("kind", ["regular", "namespace"])
def test_a_host_keeps_its_own_packages(installed: Path, tmp_path: Path, kind: str) -> None:
    host = tmp_path / "host"
    for name in ("agent", "tools", "prompts"):
        (host / name).mkdir(parents=True)
        for module in ("own", "late"):
            (host / name / f"{module}.py").write_text('WHO = "host"\n')
        if kind == "regular":
            (host / name / "__init__.py").write_text('WHO = "host"\n')
    (host / "main.py").write_text(HOST)
    commit(host)
    task = Task("host", "It is broken", host, [], [], look="WHO")
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("AGENT_", "PYTHON"))}
    with ScriptedServer(script(task, [])) as server:
        arguments = [str(tmp_path / "log"), server.base_url, str(tmp_path / "runs")]
        done = subprocess.run(
            [installed, "main.py", *arguments],
            cwd=host, env=clean, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
    assert (done.returncode, done.stdout.split()) == (0, ["finished", "empty"]), done.stderr
    assert "host " in (tmp_path / "log").read_text()
    with ScriptedServer(script(task, [])) as server:
        process = subprocess.run(
            [installed, "-m", "reapair", "solve", "It is broken", "--json", "--sandbox", "none",
             "--base-url", server.base_url],
            cwd=host, env=clean | {"XDG_STATE_HOME": str(tmp_path / "state")},
            capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
    events = [json.loads(line) for line in process.stdout.splitlines()]
    assert process.returncode == 12, process.stderr
    assert (events[0]["kind"], events[-1]["kind"]) == ("run_started", "run_finished")
