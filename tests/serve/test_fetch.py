"""Fetching a model file, by huggingface_hub's own code from a server that speaks its protocol.

The hub's client reads its environment when it is imported, so each case is a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reapair.agent.demo import MODEL
from support.hub import Hub, serving

FETCH = """
import sys
from reapair.agent.model.types import ModelError
from reapair.agent.serve.catalogue import named
from reapair.agent.serve.models import fetch, find
file = named("UD-TQ1_0")
try:
    path = fetch(file)
except ModelError as error:
    print(error)
    sys.exit(3)
assert find(file) == path, (find(file), path)
print(path)
"""


def fetch(hub: Hub, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = kept | {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_HUB_DISABLE_XET": "1",
        "HOME": str(home),
        **more,
    }
    return subprocess.run(
        [sys.executable, "-c", FETCH],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_file_comes_once_and_is_found_again(tmp_path: Path) -> None:
    with serving(Hub(MODEL.read_bytes())) as hub:
        done = fetch(hub, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert Path(done.stdout.strip()).read_bytes() == hub.content
        again = fetch(hub, tmp_path)
    assert again.stdout == done.stdout
    assert len([line for line in hub.seen if line.startswith("GET /storage")]) == 1


def test_an_interrupted_transfer_goes_on_where_it_broke(tmp_path: Path) -> None:
    large = MODEL.read_bytes().ljust(24_000_000, b"\0")  # The client writes 10 MB at a time.
    with serving(Hub(large, cuts=1)) as hub:
        done = fetch(hub, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path(done.stdout.strip()).read_bytes() == large
    begun = [int(line.partition("bytes=")[2].rstrip("-")) for line in hub.seen if "bytes=" in line]
    assert begun
    assert min(begun) > 0


def test_a_damaged_file_is_removed(tmp_path: Path) -> None:
    with serving(Hub(MODEL.read_bytes(), wrong_sum=True)) as hub:
        done = fetch(hub, tmp_path)
    assert done.returncode == 3
    assert "damaged on its way" in done.stdout
    assert not list(tmp_path.rglob("*.gguf"))


@pytest.mark.parametrize(
    ("error", "said"),
    [("GatedRepo", "hf auth login"), ("EntryNotFound", "is not in"), ("RepoNotFound", "is not in")],
)
def test_what_cannot_be_had_is_said_with_a_way_out(tmp_path: Path, error: str, said: str) -> None:
    with serving(Hub(MODEL.read_bytes(), error=error)) as hub:
        done = fetch(hub, tmp_path)
    assert done.returncode == 3
    assert said in done.stdout
    assert "agent serve --model FILE" in done.stdout
    assert len(done.stdout.strip().splitlines()) == 2


def test_offline_and_full_disks_are_known_before_the_transfer(tmp_path: Path) -> None:
    with serving(Hub(MODEL.read_bytes(), size=10**18)) as hub:
        full = fetch(hub, tmp_path)
        offline = fetch(hub, tmp_path, HF_HUB_OFFLINE="1")
    assert "GB free" in full.stdout
    assert "HF_HUB_OFFLINE is set" in offline.stdout
    assert not any(line.startswith("GET /storage") for line in hub.seen)
