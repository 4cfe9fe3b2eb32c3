"""Harbor's task directories: an image to build, an instruction, and a script that decides."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from reapair.agent.lab.evaluate.instances import Instance, InstanceError
from reapair.agent.settings.table import SandboxKind
from reapair.sandbox import Sandbox
from reapair.sandbox.containers.docker_engine import DockerEngine
from reapair.sandbox.containers.prune import IMAGE_LABEL
from reapair.tools import TestReport

TEST = "tests/test.sh"
"""The one test that a task has: its own script."""

_REWARD = "/logs/verifier/reward"


def with_image(instance: Instance, kind: SandboxKind) -> Instance:
    """Return the instance with the image of its `environment/Dockerfile`, built where needed.

    Raises InstanceError when it can't be built.
    """
    if instance.schema_name != "harbor" or instance.image or instance.archive is None:
        return instance
    from docker.errors import DockerException

    context = _packed(instance.archive / "environment")
    name = f"reapair-harbor:{hashlib.sha256(context).hexdigest()[:16]}"
    api = DockerEngine("podman" if kind == "podman" else "docker").connect()
    try:
        if not api.images(name):
            events = api.build(
                fileobj=io.BytesIO(context),
                custom_context=True,
                tag=name,
                rm=True,
                forcerm=True,
                labels={IMAGE_LABEL: "harbor"},
                decode=True,
            )
            for event in events:
                if "error" in event:
                    raise InstanceError(f"{instance.id}: its image fails: {event['error']}")
    except DockerException as error:
        raise InstanceError(f"{instance.id}: its image can't be built: {error}") from error
    finally:
        api.close()
    return instance.model_copy(update={"image": name})


def _packed(folder: Path) -> bytes:
    """Return a folder as a tar archive that depends on its files alone."""
    if not (folder / "Dockerfile").is_file():
        raise InstanceError(f"{folder} has no Dockerfile, and its task.toml names no docker_image.")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for file in sorted(folder.rglob("*")):
            member = archive.gettarinfo(file, str(file.relative_to(folder)))
            member.mtime, member.uid, member.gid, member.uname, member.gname = 0, 0, 0, "", ""
            if member.isreg():
                with file.open("rb") as content:
                    archive.addfile(member, content)
            else:
                archive.addfile(member)
    return data.getvalue()


def run_tests(instance: Instance, sandbox: Sandbox) -> TestReport:
    """Put the task's tests in and let its script decide. Raises SandboxError."""
    assert instance.archive  # noqa: S101 - a Harbor task is a directory
    for name, content, executable in _files(instance.archive / "tests"):
        sandbox.write(f"/tests/{name}", content, executable=executable)
    script = f"mkdir -p {_REWARD.rpartition('/')[0]} && exec 2>&1 && bash /tests/test.sh"
    done = sandbox.exec(script, timeout=instance.timeout)
    told = sandbox.exec(f"cat {_REWARD}.txt 2>/dev/null || cat {_REWARD}.json").text
    return TestReport(
        {TEST: "passed" if _is_one(told) else "failed"},
        exit_code=done.exit_code,
        command="bash /tests/test.sh",
        timed_out=done.timed_out,
        output_tail=done.text[-2000:],
    )


def _files(folder: Path) -> Iterator[tuple[str, bytes, bool]]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.is_symlink():
            executable = bool(file.stat().st_mode & 0o100)
            yield file.relative_to(folder).as_posix(), file.read_bytes(), executable


def _is_one(told: str) -> bool:
    """Read a reward, a number or an object of numbers; less than all of it is not enough."""
    try:
        read = json.loads(told)
        values = list(read.values()) if isinstance(read, dict) else [read]
        return bool(values) and all(float(value) >= 1 for value in values)
    except (TypeError, ValueError):
        return False
