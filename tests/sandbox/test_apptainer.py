"""Apptainer's command lines: what they must have to seal a command off."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest

from reapair.sandbox import SandboxError
from reapair.sandbox.apptainer import build_command, exec_command
from reapair.sandbox.limits import GIB, Limits


@pytest.fixture
def echoing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apptainer that prints its arguments, one a line."""
    program = tmp_path / "bin" / "apptainer"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path


def test_a_command_is_sealed_and_bounded(echoing: Path) -> None:
    limits = Limits(memory=10 * GIB, processes=4096, cpus=2.5)
    call = exec_command(echoing, ["sh", "-c", 'echo "a b"; $HOME'], {"A": "x y=z", "B": ""}, limits)
    got = subprocess.run(call, capture_output=True, text=True, check=True).stdout.splitlines()
    assert got[:2] == ["--silent", "exec"]
    assert got[-4:] == [str(echoing), "sh", "-c", 'echo "a b"; $HOME']
    options = got[2:-4]
    for flag in ("--containall", "--no-home", "--cleanenv", "--no-privs", "--writable"):
        assert flag in options
    pairs = dict(itertools.pairwise(options))
    assert (pairs["--network"], pairs["--pwd"]) == ("none", "/testbed")
    assert (pairs["--memory"], pairs["--pids-limit"], pairs["--cpus"]) == (
        "10737418240",
        "4096",
        "2.5",
    )
    given = [after for flag, after in itertools.pairwise(options) if flag == "--env"]
    assert given == ["A=x y=z", "B="]
    assert "--bind" not in options


def test_images_come_from_registries_and_files(echoing: Path) -> None:
    place = echoing / "image"
    assert build_command("swebench/x:latest", place)[-2:] == [
        str(place),
        "docker://swebench/x:latest",
    ]
    assert build_command("/data/x.tar", place)[-1] == "docker-archive:/data/x.tar"
    assert build_command("/data/x.sif", place)[-1] == "/data/x.sif"
    assert build_command("i", place)[1:4] == ["build", "--sandbox", "--fix-perms"]


def test_without_it_people_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="Neither apptainer nor singularity"):
        build_command("i", tmp_path)
