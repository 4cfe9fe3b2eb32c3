"""An instance's image as SWE-smith builds them, made of our own base image."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from reapair.agent.lab.evaluate.instances import Instance
from reapair.sandbox.containers.docker_engine import DockerEngine
from support.tasks import commit

IMAGE = "reapair-test-smith-image"

GOOD = """def mean(values):
    return sum(values) / len(values)


def top(v):
    return max(v)
"""
BAD = GOOD.replace("/ len(values)", "/ (len(values) + 1)")
HIDDEN = "from calc import mean\n\n\ndef test_hidden_mean():\n    assert mean([2, 4]) == 3\n"
SHOWN = "from calc import top\n\n\ndef test_top():\n    assert top([1, 2]) == 2\n"
BRANCH = "owner__calc.0123abcd.func_pm_op__aaaa1111"

BUG = """diff --git a/calc.py b/calc.py
--- a/calc.py
+++ b/calc.py
@@ -1,5 +1,5 @@
 def mean(values):
-    return sum(values) / len(values)
+    return sum(values) / (len(values) + 1)
 
 
 def top(v):
"""

_DOCKERFILE = """FROM {environment} AS environment
FROM {base}
COPY --from=environment /opt/venv /opt/venv
USER 0:0
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
RUN python3 -m venv --without-pip /opt/miniconda3/envs/testbed \\
 && cd /opt/miniconda3/envs/testbed \\
 && ls -d /opt/venv/lib/python3*/site-packages > $(echo lib/python3*/site-packages)/tests.pth \\
 && printf '#!/bin/sh\\nexec python -m pytest "$@"\\n' > bin/pytest && chmod +x bin/pytest
RUN printf '%s\\n' '[ -z "$PS1" ] && return' 'export CONDA_DEFAULT_ENV=testbed' \\
    '. /opt/miniconda3/envs/testbed/bin/activate' > /root/.bashrc
RUN rm -rf /testbed
ADD testbed.tar /testbed
RUN chown -R root:root /testbed && echo built > /testbed/built.egg-info
WORKDIR /testbed
"""

INSTANCE = Instance(
    id=BRANCH,
    schema_name="swe-smith",
    problem_statement="mean() is too small.",
    repo="swesmith/owner__calc.0123abcd",
    base_commit=BRANCH,
    image=IMAGE,
    bug_patch=BUG,
    fail_to_pass=["tests/test_hidden.py::test_hidden_mean"],
    pass_to_pass=["tests/test_shown.py::test_top"],
    test_command="pytest --disable-warnings --color=no --tb=no --verbose",
)


def write_repository(place: Path) -> Path:
    """Write the mirror: a clean main, and a branch with the bug and without the hidden tests."""
    (place / "tests").mkdir(parents=True)
    (place / "calc.py").write_text(GOOD)
    (place / "conftest.py").write_text("")
    (place / "tests/test_hidden.py").write_text(HIDDEN)
    (place / "tests/test_shown.py").write_text(SHOWN)
    commit(place)
    for arguments in (
        ("checkout", "-qb", BRANCH),
        ("apply", "-"),
        ("commit", "-qam", "Bug Patch"),
        ("rm", "-q", "tests/test_hidden.py"),
        ("commit", "-qm", "Remove F2P Tests"),
        ("checkout", "-q", "main"),
    ):
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=place, input=BUG.encode(), check=True)
    return place


def build_image(place: Path) -> str:
    """Build the image and return its name."""
    engine = DockerEngine()
    environment = engine.prepare(b"", None, lambda _: None, print).reference
    text = _DOCKERFILE.format(environment=environment, base=engine.base_image())
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as inner:
        inner.add(write_repository(place), ".")
    context = io.BytesIO()
    files = {"Dockerfile": text.encode(), "testbed.tar": packed.getvalue()}
    with tarfile.open(fileobj=context, mode="w") as outer:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            outer.addfile(member, io.BytesIO(data))
    context.seek(0)
    api = engine.connect()
    events = list(api.build(fileobj=context, custom_context=True, tag=IMAGE, rm=True, decode=True))
    api.close()
    assert not [event for event in events if "error" in event], events[-3:]
    return IMAGE
