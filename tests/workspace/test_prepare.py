"""Environments that nobody described, made by real engines from small projects of many shapes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import require

from reapair.agent.log.event_log import Run
from reapair.agent.result import Verdict
from reapair.agent.settings.settings import Settings
from reapair.agent.settings.table import SandboxKind
from reapair.agent.solve import UsageError, solve
from reapair.agent.surfaces.prepare import Preparation, prepare
from reapair.agent.workspace.workspace import Workspace
from reapair.sandbox import SandboxError, choose
from reapair.sandbox.containers.docker_engine import DockerEngine
from reapair.sandbox.containers.labels import PREFIX
from support.repositories import make_repository
from support.scripted_server import ScriptedServer
from support.tasks import turn

pytestmark = pytest.mark.engine

PASSING = "def test_it():\n    assert True\n"
FLIT = '[build-system]\nrequires = ["flit_core<4"]\nbuild-backend = "flit_core.buildapi"\n'


def needed(kind: SandboxKind) -> None:
    try:
        choose(kind)
    except SandboxError as error:
        require(kind, False, str(error))


@pytest.fixture(scope="module", autouse=True)
def _tidy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the caches of this file apart, and remove the images it has made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for name in [name for name in os.environ if name.startswith("AGENT_")]:
            patch.delenv(name)
        before = _images()
        yield
        for image in _images() - before:
            DockerEngine().connect().remove_image(image, force=True)


def _images() -> set[str]:
    try:
        api = DockerEngine().connect()
    except SandboxError:
        return set()
    found = api.images(filters={"label": f"{PREFIX}image"})
    wanted = ("reapair-environment:", "reapair-devcontainer:", "reapair-image:")
    return {tag for image in found for tag in image["RepoTags"] or [] if tag.startswith(wanted)}


def made(
    repository: Path, kind: SandboxKind = "docker", **given: object
) -> tuple[Preparation, str]:
    """Prepare a repository and return the result and all that was said."""
    lines: list[str] = []
    settings = Settings(sandbox=kind, **given)  # type: ignore[arg-type]
    return prepare(repository, settings, on_line=lines.append), "\n".join(lines)


def workspace(repository: Path, place: Path, **given: object) -> Workspace:
    return Workspace(Run(place / "run", "test"), Settings(**given), repository)  # type: ignore[arg-type]


DEMO = {
    "pyproject.toml": FLIT + '[project]\nname = "demo-package"\nversion = "2.5"\ndescription = ""\n'
    'dependencies = []\n[project.scripts]\ndemo-tool = "demo:main"\n'
    '[project.optional-dependencies]\ntest = ["iniconfig"]\n[tool.flit.module]\nname = "demo"\n',
    "requirements-test.txt": "reapair-has-no-such-distribution==1\n",
    "src/demo/__init__.py": '"""Demo."""\n\ndef main():\n    print("old")\n',
    "optparse.py": "raise RuntimeError('shadows a module that pip needs')\n",
    "tests/test_demo.py": "import subprocess, importlib.metadata, iniconfig\n\ndef test_it():\n"
    "    assert importlib.metadata.version('demo-package') == '2.5'\n"
    "    assert subprocess.check_output(['demo-tool'], cwd='/') == b'old\\n'\n",
    "pytest.ini": "[pytest]\naddopts = --import-mode=importlib\n",
}


def test_a_project_is_installed_once_and_found_again(tmp_path: Path) -> None:
    needed("docker")
    top = make_repository(tmp_path / "demo", DEMO)
    first, said = made(top)
    assert first.counts == {"passed": 1}, said
    assert not first.reused
    assert "Installing the project" in said
    assert any("requirements-test.txt is not installed" in note for note in first.notes)
    (top / "src/demo/new.py").write_text("")
    again, said = made(top)
    assert again.reused
    assert "Installing" not in said
    assert (again.counts, again.notes) == (first.counts, first.notes)
    assert again.setup_seconds < first.setup_seconds
    (top / "src/demo/__init__.py").write_text('"""Demo."""\n\ndef main():\n    print("new")\n')
    changed, _ = made(top)
    assert (changed.reused, changed.counts) == (True, {"failed": 1})
    assert changed.failing == ["tests/test_demo.py::test_it"]


@pytest.mark.parametrize("kind", ["docker", "bubblewrap"])
def test_there_is_no_network_before_the_first_call(kind: SandboxKind, tmp_path: Path) -> None:
    needed(kind)
    setup = "[tool.agent]\nsetup-command = 'tail -n +2 /proc/net/route > ~/routes'\n"
    files = {"test_a.py": PASSING, "pyproject.toml": setup}
    place = workspace(make_repository(tmp_path / "r", files), tmp_path, sandbox=kind)
    try:
        place.prepare(lambda _: None)
        sandbox = place.sandbox()
        assert sandbox.exec("cat ~/routes").stdout, "the set-up should have had a network"
        interfaces = sandbox.exec("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '").text.split()
        assert set(interfaces) <= {"lo", "tunl0", "sit0", "ip6tnl0"}
        up = sandbox.exec("cat /sys/class/net/*/operstate 2>/dev/null | grep -c '^up'").text.strip()
        assert up in ("0", "")
        assert sandbox.exec("tail -n +2 /proc/net/route").stdout == b""
        routes = sandbox.exec("cat /proc/net/ipv6_route").text.splitlines()
        assert all(line.split()[-1] == "lo" for line in routes)
    finally:
        place.close()


def test_a_found_set_up_that_fails_is_told_and_the_run_goes_on(tmp_path: Path) -> None:
    needed("docker")
    setup = "[tool.agent]\nsetup-command = 'seq 100; echo it is broken; exit 7'\n"
    top = make_repository(tmp_path / "r", {"pyproject.toml": setup, "test_a.py": PASSING})
    found, said = made(top)
    assert found.counts == {"passed": 1}
    assert "100\nit is broken" in said
    assert "(it is broken)" in found.notes[0]
    assert "--setup-command" in found.notes[0]
    with pytest.raises(SandboxError, match="exit code 9"):
        made(top, setup_command="exit 9")
    given, _ = made(top, setup_command="touch ~/mine", test_command="test -e ~/mine")
    assert (given.counts, given.notes) == ({"passed": 1}, [])


def test_the_wrong_python_is_told_with_an_image(tmp_path: Path) -> None:
    needed("docker")
    text = FLIT + "[project]\nname = 'x'\nrequires-python = '>=3.40, $(echo no)'\n"
    top = make_repository(tmp_path / "r", {"it's $(echo odd)/pyproject.toml": text})
    found, said = made(top, project=Path("it's $(echo odd)"))
    assert "needs Python >=3.40, $(echo no), the image has another" in said
    assert "--image, such as python:3.40" in found.notes[0]
    assert found.project == "it's $(echo odd)"


def test_a_devcontainer_is_built_from_the_repository_alone(tmp_path: Path) -> None:
    needed("docker")
    configuration = {
        "build": {"dockerfile": "Dockerfile", "context": "..", "args": {"WORD": "built"}},
        "postCreateCommand": "echo made > ~/made",
        "mounts": ["type=bind,source=/,target=/host"],
    }
    dockerfile = (
        "FROM debian:bookworm-slim\nARG WORD\nCOPY data.txt /\nRUN echo $WORD >> /data.txt\n"
    )
    top = make_repository(
        tmp_path / "r",
        {
            ".devcontainer/devcontainer.json": json.dumps(configuration),
            ".devcontainer/Dockerfile": dockerfile,
            "data.txt": "data\n",
            "pyproject.toml": "[tool.agent]\ntest-command = 'cat /data.txt ~/made; ! ls /host'\n",
        },
    )
    found, said = made(top)
    assert found.counts == {"passed": 1}, said
    assert any("mounts is refused" in note for note in found.notes)
    assert "Step 1/" in said
    again, said = made(top)
    assert again.reused
    assert "Step" not in said
    (top / ".devcontainer/Dockerfile").write_text("FROM debian:bookworm-slim\nRUN exit 3\n")
    broken, _ = made(top)
    assert any("image cannot be used, ours is taken" in note for note in broken.notes)


def test_a_dockerfile_is_built_where_it_is_asked_for(
    tmp_path: Path,
) -> None:
    needed("docker")
    dockerfile = "FROM debian:bookworm-slim\nCOPY data.txt /\n"
    files = {"service/docker/Dockerfile": dockerfile, "service/data.txt": "data\n"}
    tests = {"service/package.json": json.dumps({"scripts": {"test": "x"}})}
    top = make_repository(tmp_path / "r", files | tests)
    (tmp_path / "Dockerfile").write_text("FROM debian:bookworm-slim\n")
    command = "grep -q data /data.txt"
    given = {"image": "docker/Dockerfile", "test_command": command, "setup_command": "true"}
    found, said = made(top / "service", **given)
    assert (found.counts, found.project) == ({"passed": 1}, "service"), said
    assert "COPY data.txt /" in said
    plain, _ = made(top / "service", test_command="ls /data.txt", setup_command="true")
    assert plain.counts == {"failed": 1}  # beside a Dockerfile that nobody asked for
    for elsewhere in ("../../Dockerfile", "./missing", "/etc/passwd"):
        with pytest.raises(SandboxError, match="has no file"):
            made(top / "service", **given | {"image": elsewhere})
    (top / "service/docker/Dockerfile").write_text("FROM debian:bookworm-slim\nRUN exit 3\n")
    with pytest.raises(SandboxError, match="could not be built"):
        made(top / "service", **given)
    with pytest.raises(SandboxError, match="cannot use an image"):
        made(top / "service", "bubblewrap", **given)


def test_node_in_bubblewrap(tmp_path: Path) -> None:
    needed("bubblewrap")
    script = "node -e \"require('assert').equal(process.env.CI, '1')\""
    package = {"name": "x", "version": "1.0.0", "scripts": {"test": script}}
    top = make_repository(tmp_path / "r", {"package.json": json.dumps(package)})
    found, said = made(top, "bubblewrap")
    require("node", "There is no Node.js" not in said, "not in the sandbox")
    assert (found.counts, found.test_command) == ({"passed": 1}, "CI=1 npm test"), said


MONOREPO = {
    "packages/good/pyproject.toml": "[project]\nname = 'good'\n",
    "packages/good/tests/test_a.py": "import os\n\ndef test_here():\n"
    "    assert os.getcwd().endswith('packages/good')\n",
    "packages/bad/pyproject.toml": "[project]\nname = 'bad'\n",
    "packages/bad/test_b.py": "import no_such_thing\n",
    "packages/none/pyproject.toml": "[project]\nname = 'none'\n",
}


def command(cwd: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "reapair", "prepare", *arguments],
        cwd=cwd, input=stdin, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip


def test_the_command_in_a_monorepo(tmp_path: Path) -> None:
    needed("auto")
    top = make_repository(tmp_path / "r", MONOREPO)
    good = command(top / "packages/good/tests", "--json")
    told = json.loads(good.stdout)
    assert (good.returncode, told["project"], told["counts"]) == (0, "packages/good", {"passed": 1})
    bad = command(top, "--project", "packages/bad")
    assert bad.returncode == 4
    assert "failing: packages/bad/test_b.py" in bad.stdout
    assert "The module no_such_thing is missing" in bad.stdout
    none = command(top / "packages/none")
    assert none.returncode == 4
    assert "--test-command" in none.stdout
    outside = command(top, "--project", "..")
    assert (outside.returncode, "no folder of the repository" in outside.stderr) == (2, True)
    with pytest.raises(UsageError, match="not inside a git"):
        prepare(tmp_path)


def test_a_run_works_in_the_nearest_project(tmp_path: Path) -> None:
    needed("auto")
    top = make_repository(tmp_path / "r", MONOREPO)
    turns = [turn("run_tests", selector="all"), *[turn("submit", summary="Nothing.")] * 2]
    with ScriptedServer(turns) as server:
        given = Settings(base_url=server.base_url, runs=tmp_path / "runs")
        result = solve("Look around", top / "packages/good/tests", given)
        [first, *_] = server.chats
    assert result.verdict is Verdict.EMPTY
    assert "The tests are run with: cd ./packages/good || exit; python -m pytest" in str(first)
    log = [json.loads(line) for line in (result.directory / "events.jsonl").open()]
    [told] = [event["data"] for event in log if event["kind"] == "environment"]
    assert (told["project"], told["notes"], told["failure"]) == ("packages/good", [], "")
    [shown] = [e["data"]["content"] for e in log if e["kind"] == "tool_result"][:1]
    assert "1 passed" in shown


def test_a_shell_in_bubblewrap(tmp_path: Path) -> None:
    needed("bubblewrap")
    top = make_repository(tmp_path / "r", {"test_a.py": PASSING})
    script = "id -u; pwd; ls; tail -n +2 /proc/net/route; touch gone; exit 5\n"
    done = command(top, "--sandbox", "bubblewrap", "--shell", "--json", stdin=script)
    assert done.returncode == 0, done.stderr
    told, *output = done.stdout.splitlines()
    assert json.loads(told)["counts"] == {"passed": 1}
    assert output == ["1000", "/testbed", "test_a.py"]
    assert not (top / "gone").exists()


def test_a_shell_in_docker_on_a_terminal(tmp_path: Path) -> None:
    needed("docker")
    top = make_repository(tmp_path / "r", {"test_a.py": PASSING})
    terminal, inner = pty.openpty()
    call = [sys.executable, "-P", "-m", "reapair", "prepare", "--sandbox", "docker", "--shell"]
    process = subprocess.Popen(call, cwd=top, stdin=inner, stdout=inner, stderr=inner)
    os.close(inner)
    os.write(terminal, b"tty; echo $(id -u)$((6 * 7)); exit\n")
    output, end = b"", time.monotonic() + 120
    try:
        while chunk := os.read(terminal, 4096):
            output += chunk
            assert time.monotonic() < end
    except OSError:
        pass  # the other end is closed
    assert process.wait(60) == 0
    assert b"/dev/pts/" in output
    assert b"100042" in output
