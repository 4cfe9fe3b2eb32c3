"""Environments: made once, found again, and without anything of the host in them."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import require
from docker.errors import APIError

from reapair.sandbox.base import Kind, Sandbox, SandboxError
from reapair.sandbox.containers.docker_engine import DockerEngine
from reapair.sandbox.containers.labels import PREFIX
from reapair.sandbox.engines import choose
from reapair.sandbox.environment import Engine, Environment, SetupError, environment_key
from support.sandboxes import SEALED, Missing

pytestmark = pytest.mark.engine

PROJECT = """
from setuptools import setup
setup(name="demo", version="1", packages=["demo"], entry_points={
    "console_scripts": ["demo-tool=demo:main"]})
"""


# Podman's commits take seconds; what they share with Docker's is all but the engine.
LONG = {"podman": pytest.mark.long}


@pytest.fixture(params=[pytest.param(kind, marks=LONG.get(kind, ())) for kind in (*SEALED, "none")])
def engine(request: pytest.FixtureRequest, missing: Missing) -> Engine:
    kind: Kind = request.param
    require(kind, not missing(kind), missing(kind))
    return choose(kind)


@pytest.fixture(autouse=True)
def _remove_images() -> Iterator[None]:
    yield
    try:
        api = DockerEngine().connect()
    except SandboxError:
        return
    for image in api.images(filters={"label": f"{PREFIX}image=environment"}):
        for tag in image["RepoTags"] or []:
            if "reapair-environment:" in tag and TEST_KEYS & {tag.rpartition(":")[2]}:
                api.remove_image(tag, force=True)


TEST_KEYS: set[str] = set()


def fill(sandbox: Sandbox) -> None:
    sandbox.write("setup.py", PROJECT.encode())
    sandbox.write("demo/__init__.py", b"def main():\n    print('the tool runs')\n")
    sandbox.exec("git init -q .")


def prepare(engine: Engine, command: str, key: bytes = b"test") -> tuple[Environment, list[str]]:
    lines: list[str] = []
    environment = engine.prepare(key, command, fill, lines.append)
    TEST_KEYS.add(environment.reference.rpartition(":")[2])
    return environment, lines


@pytest.mark.parametrize(
    "command",
    [
        "python setup.py -q develop 2>/dev/null",
        pytest.param("pip install -q -e . && rm -rf build", marks=pytest.mark.long),
    ],
)
def test_a_package_is_installed_once_and_found_again(engine: Engine, command: str) -> None:
    command = f"echo LINE; {command}"
    environment, lines = prepare(engine, command)
    assert "LINE" in lines
    again, silent = prepare(engine, command)
    assert (again.reference, again.reused, silent) == (environment.reference, True, [])
    with engine.sandbox(environment, "test") as sandbox:
        # The sources are gone and what the installation made beside them is not.
        assert sandbox.exec("ls -A").text == "demo.egg-info\n"
        fill(sandbox)
        assert sandbox.exec("demo-tool").text == "the tool runs\n"
        sandbox.write("demo/__init__.py", b"def main():\n    print('changed')\n")
        assert (
            sandbox.exec("demo-tool; command -v demo-tool").text
            == "changed\n/opt/venv/bin/demo-tool\n"
        )


COMPILED = """
from setuptools import Extension, setup
setup(name="compiled", version="1", ext_modules=[
    Extension("in_c", ["in_c.c"]), Extension("in_cxx", ["in_cxx.cpp"])])
"""
MODULE = """#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, NAME, 0, -1, 0};
PyMODINIT_FUNC INIT(void) { return PyModule_Create(&definition); }
"""


def test_modules_in_c_and_c_plus_plus_can_be_built(docker: DockerEngine) -> None:
    def fill_in(sandbox: Sandbox) -> None:
        sandbox.write("setup.py", COMPILED.encode())
        for name, suffix in (("in_c", "c"), ("in_cxx", "cpp")):
            source = MODULE.replace("NAME", f'"{name}"').replace("INIT(", f"PyInit_{name}(")
            sandbox.write(f"{name}.{suffix}", source.encode())

    environment = docker.prepare(
        b"compiled", "python setup.py -q develop 2>/dev/null", fill_in, print
    )
    TEST_KEYS.add(environment.reference.rpartition(":")[2])
    with docker.sandbox(environment, "test") as sandbox:
        assert sandbox.exec("python -c 'import in_c, in_cxx'").ok


def test_the_key_and_the_command_decide(engine: Engine) -> None:
    first, _ = prepare(engine, "echo made > made; mkdir empty; echo home > ~/kept")
    other, _ = prepare(engine, "echo made > made; mkdir empty; echo home > ~/kept", b"other")
    assert not other.reused
    assert first.reference != other.reference
    with engine.sandbox(first, "test") as sandbox:
        assert sandbox.exec("cat made ~/kept; ls -A").text == "made\nhome\nmade\n"


def test_a_failing_command_tells_its_tail_and_the_way_out(engine: Engine) -> None:
    with pytest.raises(SetupError) as failure:
        prepare(engine, "seq 1000; echo broken >&2; exit 3")
    words = str(failure.value)
    assert "exit code 3" in words
    assert words.count("\n") < 30
    assert "1000\nbroken" in words
    assert "--setup-command" in words


def test_settings_of_the_host_are_there_during_the_command_only(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    pem = "-----BEGIN CERTIFICATE-----\nOF-THE-HOST\n-----END CERTIFICATE-----\n"
    bundle.write_text(f"-----BEGIN PRIVATE KEY-----\nits key\n-----END PRIVATE KEY-----\n{pem}")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    index = "http://user:pass-word-of-index@127.0.0.1:9/simple"  # where nothing answers
    monkeypatch.setenv("PIP_INDEX_URL", index)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:3128")
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-the-model")
    command = (
        'cat "$PIP_CERT"; echo "$PIP_INDEX_URL $HTTPS_PROXY ${OPENAI_API_KEY-no key}"\n'
        "pip download --cert= --retries 0 no-such-package >/dev/null 2>&1; test $? -ne 0"
    )
    environment, lines = prepare(engine, command)
    *certificate, last = lines
    assert "\n".join([*certificate, ""]) == pem
    # The login stays here: in place of the index there is this program, which adds it.
    assert re.fullmatch(r"http://[\d.]+:\d+/[\w-]+/0/simple http://proxy.invalid:3128 no key", last)
    with engine.sandbox(environment, "test") as sandbox:
        places = "/etc /run /tmp /var /usr/local /root" if engine.kind == "docker" else ""
        search = "grep -rlE 'pass-word-of-index|OF-THE-HOST|proxy.invalid'"
        found = sandbox.exec(f"env | grep invalid; {search} {places} /testbed /opt/venv ~")
        assert found.stdout == b""
    if isinstance(engine, DockerEngine):
        api = engine.connect()
        told = str(api.inspect_image(environment.reference)) + str(
            api.history(environment.reference)
        )
        assert "pass-word-of-index" not in told
        assert "proxy.invalid" not in told


def test_a_python_project_can_be_tested_without_any_set_up(engine: Engine) -> None:
    lines: list[str] = []
    environment = engine.prepare(b"", None, fill, lines.append)
    with engine.sandbox(environment, "test") as sandbox:
        sandbox.write("test_it.py", b"def test_it():\n    assert 1\n")
        result = sandbox.exec("python -m pytest -q test_it.py")
        assert "1 passed" in result.text, (result, lines)


def test_there_is_no_network_after_the_set_up(engine: Engine) -> None:
    if engine.kind == "none":
        return  # which is why it has to be asked for by name
    environment, lines = prepare(engine, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '")
    assert set(lines) - {"lo", "tunl0"}
    with engine.sandbox(environment, "test") as sandbox:
        assert sandbox.exec("tail -n +2 /proc/net/route").stdout == b""


def test_keys_cannot_run_into_each_other() -> None:
    assert environment_key("a", "bc", b"") != environment_key("ab", "c", b"")


@pytest.fixture
def image(docker: DockerEngine) -> Iterator[str]:
    """An image of a user: no bash, no uid 1000, no /testbed, an entry point in the way."""
    name = "reapair-test-user-image:1"
    dockerfile = (
        "FROM debian:bookworm-slim\n"
        "RUN rm -f /bin/bash && echo theirs > /theirs\n"
        'ENTRYPOINT ["/bin/false"]\nVOLUME /data\nUSER 33\nENV PATH=/usr/bin:/bin THEIRS=1\n'
    )
    yield from _built(docker, name, dockerfile)


@pytest.fixture
def image_without_git(docker: DockerEngine) -> Iterator[str]:
    dockerfile = "FROM debian:bookworm-slim\nRUN rm -f /usr/bin/git\n"
    yield from _built(docker, "reapair-test-no-git:1", dockerfile)


def _built(docker: DockerEngine, name: str, dockerfile: str) -> Iterator[str]:
    api = docker.connect()
    list(api.build(fileobj=io.BytesIO(dockerfile.encode()), tag=name, rm=True))
    before = {image["Id"] for image in api.images("reapair-image")}
    yield name
    made = {image["Id"] for image in api.images("reapair-image")} - before
    for image in (*made, name):
        # Another process may have built on it by now: then it stays.
        with suppress(APIError):
            api.remove_image(image, force=True)


def test_the_image_of_a_user_is_used_as_it_is(image: str) -> None:
    engine = choose("docker", image=image)
    environment = engine.prepare(b"", None, fill, lambda _: None)
    with engine.sandbox(environment, "test") as sandbox:
        fill(sandbox)
        result = sandbox.exec("cat /theirs; id -u; pwd; echo $THEIRS; touch here ~/here && ls -A")
        assert result.text == "theirs\n1000\n/testbed\n1\n.git\ndemo\nhere\nsetup.py\n", result
        # What the set-up installs for a user alone can be called.
        assert sandbox.exec("echo $PATH").text == "/home/agent/.local/bin:/usr/bin:/bin\n"
        assert sandbox.exec("sleep 60", timeout=1).timed_out
        assert sandbox.exec(["git", "status", "-s"]).ok


def test_an_image_without_git_is_refused_by_name(image_without_git: str) -> None:
    with pytest.raises(SandboxError, match="git is missing"):
        choose("docker", image=image_without_git)


def test_an_image_without_a_shell_is_refused(docker: DockerEngine) -> None:
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode="w").close()
    api = docker.connect()
    api.import_image_from_data(empty.getvalue(), repository="reapair-test-empty", tag="1")
    try:
        with pytest.raises(SandboxError, match="reapair-test-empty:1 cannot be used"):
            choose("docker", image="reapair-test-empty:1")
    finally:
        api.remove_image("reapair-test-empty:1", force=True)
