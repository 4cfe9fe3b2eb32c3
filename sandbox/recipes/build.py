"""Build an image that a repository describes, from the snapshot's files and nothing else."""

from __future__ import annotations

import hashlib
import io
import posixpath
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from reapair.sandbox.base import SandboxError
from reapair.sandbox.containers.prune import IMAGE_LABEL
from reapair.sandbox.gateway.host_settings import HostSettings
from reapair.sandbox.limits import Limits
from reapair.sandbox.recipes.devcontainer import Build

if TYPE_CHECKING:
    from docker import APIClient

    from reapair.sandbox.containers.docker_engine import DockerEngine
    from reapair.sandbox.recipes.snapshot_files import SnapshotFiles

CONTEXT_LIMIT = 256 * 1024 * 1024
"""Most bytes of the files of a build."""

BUILD_SECONDS = 1800.0
"""Time limit of a build."""

_REPOSITORY = "reapair-devcontainer"
_DOCKERFILE = ".reapair.dockerfile"
# No image name begins with a dot or has an upper-case letter before its tag.
_NAMES_A_FILE = re.compile(r"\.{0,2}/|(.*/)?(Dockerfile|Containerfile)[^/:]*$")


def names_dockerfile(image: str) -> bool:
    """Return whether an image setting is the path of a Dockerfile."""
    return bool(_NAMES_A_FILE.match(image))


def named_build(path: str, files: SnapshotFiles, directory: str) -> Build:
    """Return what `docker build --file PATH .` in a folder of the repository would build.

    Raises SandboxError when the snapshot has no such file.
    """
    dockerfile = posixpath.normpath(posixpath.join(directory, path))
    if dockerfile not in files:
        raise SandboxError(
            f"The repository has no file {dockerfile}. A Dockerfile is named by its path from the "
            "current folder and has to lie in the repository; git must not ignore it."
        )
    return Build(dockerfile, directory)


def build_image(
    engine: DockerEngine, files: SnapshotFiles, build: Build, on_output: Callable[[str], None]
) -> str:
    """Return the name of the image, which is built unless it was from the same files before.

    Raises SandboxError.
    """
    from docker.errors import DockerException, ImageNotFound

    try:
        context = files.archive(build.context, CONTEXT_LIMIT)
        digest = hashlib.sha256(repr(build).encode("utf-8", "replace") + b"\0" + context)
        name = f"{_REPOSITORY}:{digest.hexdigest()[:20]}"
        api = engine.connect()
        try:
            api.inspect_image(name)  # type: ignore[no-untyped-call]
        except ImageNotFound:
            for line in _built(api, name, build, files[build.dockerfile], context):
                on_output(line)
        finally:
            api.close()
    except (DockerException, OSError, ValueError) as error:
        raise SandboxError(f"{build.dockerfile} could not be built: {error}") from error
    return name


def _built(
    api: APIClient, name: str, build: Build, dockerfile: bytes, context: bytes
) -> Iterator[str]:
    """Build and yield the engine's output. Raises ValueError with its error message."""
    memory = Limits().memory
    events = api.build(
        fileobj=io.BytesIO(_with_dockerfile(context, dockerfile)),
        custom_context=True,
        dockerfile=_DOCKERFILE,
        tag=name,
        buildargs=_proxies() | dict(build.arguments),
        use_config_proxy=False,  # its address may hold a password
        target=build.target or None,
        container_limits={"memory": memory, "memswap": memory},
        labels={IMAGE_LABEL: _REPOSITORY},
        timeout=int(BUILD_SECONDS),
        rm=True,
        forcerm=True,
        decode=True,
    )
    end = time.monotonic() + BUILD_SECONDS
    for event in events:
        if "error" in event:
            raise ValueError(" ".join(str(event["error"]).split())[-500:])
        if time.monotonic() > end:
            raise ValueError(f"it took longer than {BUILD_SECONDS:.0f} seconds")
        if said := str(event.get("stream", "")).strip():
            yield said


def _proxies() -> dict[str, str]:
    """Return the host's proxies for a build, which runs the repository's code.

    Raises SandboxError where one holds a login: a build cannot be given it without.
    """
    settings = HostSettings.read().proxies()
    if names := settings.secret_names():
        raise SandboxError(
            f"{' and '.join(names)} holds a login that no build of the repository may see. Build "
            "the image yourself and name it with --image."
        )
    return settings.variables(None)


def _with_dockerfile(context: bytes, dockerfile: bytes) -> bytes:
    """Return the context with the Dockerfile, which may be outside it, under a name of its own."""
    archive = io.BytesIO(context)
    with tarfile.open(fileobj=archive, mode="a") as tar:
        info = tarfile.TarInfo(_DOCKERFILE)
        info.size = len(dockerfile)
        tar.addfile(info, io.BytesIO(dockerfile))
    return archive.getvalue()
