"""The choice of an engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import require

from reapair.sandbox.base import Kind, SandboxError
from reapair.sandbox.containers.docker_engine import DockerEngine
from reapair.sandbox.engines import choose
from support.sandboxes import Missing


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide every engine of this machine."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    monkeypatch.setenv("CONTAINER_HOST", f"unix://{tmp_path}/no.sock")
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.engine
def test_auto_takes_docker_first(docker: DockerEngine) -> None:
    assert choose("auto").kind == "docker"


@pytest.mark.engine
def test_auto_falls_back_to_bubblewrap(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: Missing
) -> None:
    require("bubblewrap", not missing("bubblewrap"), missing("bubblewrap"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    monkeypatch.setenv("CONTAINER_HOST", f"unix://{tmp_path}/no.sock")
    assert choose("auto").kind == "bubblewrap"


def test_auto_never_means_no_isolation(no_engine: None) -> None:
    with pytest.raises(SandboxError) as refusal:
        choose("auto")
    words = str(refusal.value)
    for name in ("docker:", "podman:", "bubblewrap:", "--sandbox none"):
        assert name in words


@pytest.mark.parametrize("kind", ["docker", "podman", "bubblewrap"])
def test_a_missing_engine_is_told_by_name(no_engine: None, kind: Kind) -> None:
    with pytest.raises(SandboxError, match=kind):
        choose(kind)


@pytest.mark.parametrize("kind", ["bubblewrap", "none"])
def test_an_image_needs_a_container_engine(kind: Kind) -> None:
    with pytest.raises(SandboxError, match="needs docker or podman"):
        choose(kind, image="some-image")


@pytest.mark.engine
def test_an_unobtainable_image_is_refused_in_words(docker: DockerEngine) -> None:
    with pytest.raises(SandboxError, match=r"localhost:1/nowhere.*--image"):
        choose("docker", image="localhost:1/nowhere")
