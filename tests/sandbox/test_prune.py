"""Environments of long ago go; what is young, in use or somebody else's stays."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from conftest import require

from reapair.sandbox.containers.docker_engine import DockerEngine
from reapair.sandbox.containers.prune import KEPT_NUMBER, KEPT_SECONDS, outdated, prune_images
from reapair.sandbox.host import directories
from reapair.sandbox.host.bubblewrap import BubblewrapSandbox
from reapair.sandbox.host.directory_sandbox import DirectoryEngine
from support.dockerd import own_engine

NOW = 2_000_000_000.0


def test_the_rule() -> None:
    day = 24 * 3600
    made = {"old": NOW - 31 * day, "young": NOW - 29 * day, "new": NOW}
    assert outdated(made, NOW) == ["old"]
    many = {str(number): NOW - number for number in range(KEPT_NUMBER + 2)}
    assert outdated(many, NOW) == [str(KEPT_NUMBER), str(KEPT_NUMBER + 1)]
    assert outdated({}, NOW) == []


@pytest.mark.engine
def test_only_our_old_environments_that_nothing_uses_are_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require("dockerd", shutil.which("dockerd") is not None, "it is not installed")
    with own_engine() as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.address)
        api = DockerEngine().connect()
        label = ["LABEL io.reapair.image=environment"]
        ours = ["reapair-environment:old", "reapair-environment:used"]
        for name, changes in ((ours[0], label), (ours[1], label), ("theirs:1", label),
                              ("reapair-environment:unlabelled", [])):  # fmt: skip
            made = api.create_container(engine.IMAGE, [name])["Id"]
            api.commit(made, *name.split(":"), changes=changes)
            api.remove_container(made)
        api.create_container(ours[1], ["true"])
        DockerEngine().sweep()
        before = {tag for image in api.images() for tag in image["RepoTags"]}
        prune_images(api, time.time() + KEPT_SECONDS + 10)
        after = {tag for image in api.images() for tag in image["RepoTags"]}
    assert before - after == {ours[0]}
    assert ours[1] in after


def test_directories_that_were_not_used_lately_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    places = [directories.cache() / "environments" / name for name in ("old", "young")]
    for place in places:
        place.mkdir(parents=True)
        (place / "file").write_text("x")
    long_ago = time.time() - KEPT_SECONDS - 10
    os.utime(places[0], (long_ago, long_ago))
    DirectoryEngine(BubblewrapSandbox).sweep()
    assert [place.exists() for place in places] == [False, True]
