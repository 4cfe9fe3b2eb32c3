"""The project's own workflows: valid, pinned, and running what the documents promise."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import require

from reapair.sandbox.engines import AUTOMATIC

GITHUB = Path(__file__).parents[2] / ".github"
WORKFLOWS = [GITHUB / "workflows" / name for name in ("ci.yml", "release.yml")]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_every_action_is_pinned_to_a_commit(file: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", file.read_text("utf-8"))
    assert used
    for name, version in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name), name
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", version), name


def test_they_run_the_two_commands() -> None:
    text = WORKFLOWS[0].read_text("utf-8")
    for command in ("make check", ".ci/run"):
        assert f"- run: {command}\n" in text
    script = (GITHUB.parent / ".ci/run").read_text("utf-8")
    for command in ("make demo", "REAPAIR_REQUIRE=all make test", ".ci/bare make quick"):
        assert f"\n{command}\n" in script
    for kind in (*AUTOMATIC[1:], "none"):  # `make demo` takes the first
        assert f"agent demo --quiet --sandbox {kind}\n" in script


def test_the_form_asks_for_the_doctor() -> None:
    form = (GITHUB / "ISSUE_TEMPLATE" / "bug.yml").read_text("utf-8")
    assert "label: agent doctor --json" in form


@pytest.mark.slow
def test_they_pass_the_audit() -> None:
    zizmor = shutil.which("zizmor", path=str(Path(sys.executable).parent))
    require("zizmor", zizmor is not None, "pip install zizmor")
    assert zizmor
    done = subprocess.run(
        [zizmor, "--offline", *WORKFLOWS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
