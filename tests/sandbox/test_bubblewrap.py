"""What only bubblewrap can get wrong: which files of the host a sandbox sees."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest
from conftest import require

from support.sandboxes import Missing

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from reapair.sandbox.host.bubblewrap import BubblewrapSandbox
with BubblewrapSandbox("test", setup=len(sys.argv) > 1) as sandbox:
    sandbox.write("/tmp/own", b"")
    print(sandbox.exec([sys.executable, "-c", "import sys; print(sys.prefix)"]).text, end="")
    print(sandbox.exec("ls /tmp; touch $(dirname $(readlink -f $(command -v python)))/new").text)
"""


@pytest.mark.slow
@pytest.mark.parametrize("setup", [[], ["setup"]], ids=["sealed", "setup"])
def test_a_python_below_tmp_runs_inside_and_stays_as_it_is(
    missing: Missing, setup: list[str]
) -> None:
    require("bubblewrap", not missing("bubblewrap"), missing("bubblewrap"))
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        venv = Path(folder) / "checkout/.venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        done = subprocess.run(
            [venv / "bin/python", "-c", PROGRAM, *setup],
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{sysconfig.get_path('purelib')}"},
            capture_output=True,
            text=True,
            check=True,
        )
        names = set(done.stdout.split())
        assert {str(venv), "own", Path(folder).name} <= names
        assert not list(Path(folder).rglob("new"))
