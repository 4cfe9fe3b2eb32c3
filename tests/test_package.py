"""The wheel: one top-level name, everything in it, and it works outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import require

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
