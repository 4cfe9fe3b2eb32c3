"""Images of benchmark instances, run as they were built: their user, environment, writable root.

They hold the repository with its tests, its history and perhaps the solution. What a sandbox sees
is made from them once: the same image with the repository's files and history taken away; what was
built beside them stays.
"""

from __future__ import annotations

import contextlib
import io
import shlex
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from reapair.agent.lab.evaluate.instances import Instance
from reapair.agent.settings.table import SandboxKind
from reapair.sandbox.base import WORKSPACE, Kind, SandboxError
from reapair.sandbox.containers.docker import DockerSandbox
from reapair.sandbox.containers.docker_engine import DockerEngine
from reapair.sandbox.containers.docker_exec import USER
from reapair.sandbox.containers.prune import ENVIRONMENTS, IMAGE_LABEL
from reapair.sandbox.engines import choose
from reapair.sandbox.environment import Engine, Environment, environment_key
from reapair.sandbox.limits import GIB, TMP, Limits

if TYPE_CHECKING:
    from docker import APIClient

LIMITS = Limits(memory=10 * GIB, processes=4096)
"""What SWE-smith's and SWE-bench's own harnesses give an instance."""

_ROOT = "0:0"
# Enough for root to write wherever the image's own files lie; KILL and SETUID would let a command
# end the process that the container's life hangs on.
_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"]

_STATE = f"{TMP}/state.tar"
# Tracked files as they lie there: some images are changed after their last commit.
_PACK = f"""set -e
cd {WORKSPACE}/
if [ -e .git ]; then
    git -c safe.directory='*' ls-files -z | xargs -0 sh -c \
        'for f; do if [ -e "$f" ] || [ -L "$f" ]; then printf "%s\\0" "$f"; fi; done' sh
else
    find . -mindepth 1 ! -type d -print0
fi > {TMP}/state.list
tar -cf {_STATE} --null -T {TMP}/state.list
rm {TMP}/state.list
"""
_CLEAR = f"""set -e
cd {WORKSPACE}/
if [ -e .git ]; then
    git -c safe.directory='*' ls-files -z | xargs -0 rm -f --
    rm -rf .git
else
    find . -mindepth 1 ! -type d -exec rm -f -- {{}} +
fi
find . -name __pycache__ -type d -prune -exec rm -rf -- {{}} +
rm -rf .pytest_cache
find . -depth -mindepth 1 -type d -empty -delete
"""
_LINK = """FROM {image}
USER 0:0
RUN [ -e {workspace} ] || ln -s {folder} {workspace}
"""
# What an interactive shell of the image finds set: this is how these images turn conda on.
_VARIABLES = "command -v bash >/dev/null && exec bash -ic 'env -0' || exec env -0"
_SHELL_OWN = frozenset({"_", "SHLVL", "PWD", "OLDPWD", "HOSTNAME", "PS1", "TERM", "HOME"})


class InstanceSandbox(DockerSandbox):
    """A container of an instance's image. No network, bounded memory and processes as always."""

    environment: Mapping[str, str] = {"TERM": "dumb", "PAGER": "cat", "GIT_PAGER": "cat"}
    watched: Sequence[str] = (WORKSPACE + "/", TMP)

    def __init__(self, connect: Callable[[], APIClient], image: str, run_id: str, **options: Any):
        super().__init__(connect, image, run_id, **{"limits": LIMITS, **options})

    def _create(self, api: APIClient) -> str:
        config = api.inspect_image(self._image)["Config"]  # type: ignore[no-untyped-call]
        named = config.get("User") or "root"
        self.user = _ROOT if named.partition(":")[0] in ("root", "0") else named
        self.lease_user = USER if self.user == _ROOT else _ROOT
        return super()._create(api)

    def closed_off(self, limits: Limits, labels: dict[str, str]) -> dict[str, Any]:  # noqa: ARG002
        """Return what keeps commands in; the whole root is theirs to write to."""
        sealed: dict[str, Any] = {"network_mode": "none", "cap_add": _CAPABILITIES}
        if self.user == _ROOT:
            # Under no-new-privileges a root that PID 1 is not would have no capability at all.
            sealed["security_opt"] = []
        return sealed


def stripped(connect: Callable[[], APIClient], image: str, run_id: str) -> str:
    """Return the image without the repository's files and history, with its shell's variables set.

    Args:
        connect: makes an API client.
        image: id of the instance's image, with WORKSPACE in it.
        run_id: goes into the labels.

    Raises SandboxError.
    """
    from docker.errors import ImageNotFound

    tag = environment_key(image, _CLEAR + _VARIABLES, b"")
    name = f"{ENVIRONMENTS}:{tag}"
    with contextlib.closing(connect()) as api, contextlib.suppress(ImageNotFound):
        api.inspect_image(name)  # type: ignore[no-untyped-call]
        return name
    with InstanceSandbox(connect, image, run_id) as sandbox:
        variables = _variables(sandbox)
        _must(sandbox, _CLEAR)
        sandbox.api.commit(
            sandbox.container,
            ENVIRONMENTS,
            tag,
            changes=f"LABEL {IMAGE_LABEL}=environment",
            conf={"Env": variables, "User": sandbox.user},
        )
    return name


def write_state(connect: Callable[[], APIClient], image: str, run_id: str, file: IO[bytes]) -> None:
    """Write a tar archive of the repository's files in an image, without history.

    Raises SandboxError.
    """
    from docker.errors import DockerException

    with InstanceSandbox(connect, image, run_id) as sandbox:
        _must(sandbox, _PACK)
        try:
            chunks, _ = sandbox.api.get_archive(sandbox.container, _STATE)
            with tarfile.open(fileobj=io.BufferedReader(_Chunks(chunks)), mode="r|") as outer:
                member = outer.next()
                inner = outer.extractfile(member) if member else None
                while inner and (data := inner.read(1024 * 1024)):
                    file.write(data)
        except (DockerException, tarfile.TarError, OSError) as error:
            raise SandboxError(f"The files of {image} can't be read: {error}") from error


class InstanceEngine(DockerEngine):
    """Sandboxes on an instance's image. Nothing is installed: the image has what the tests need."""

    make = InstanceSandbox

    def make_base(self) -> str:
        """Return the image without the repository's files and history."""
        return stripped(self.connect, self.as_built(), "setup")

    def as_built(self) -> str:
        """Return the image as it was built, but for a link where WORKSPACE is to be."""
        image = self.image or ""
        found = self.found_or_pulled(image)
        with contextlib.closing(self.connect()) as api:
            config = api.inspect_image(found)["Config"]  # type: ignore[no-untyped-call]
        folder = str(config.get("WorkingDir") or "/").rstrip("/")
        if folder in ("", WORKSPACE) or not Path(folder).is_absolute():
            return found
        linked = _LINK.format(image=found, folder=shlex.quote(folder), workspace=WORKSPACE)
        return self.build("reapair-image", linked, f"{image} cannot be used")

    def prepare(self, *_: object) -> Environment:
        """Return the image without the repository; nothing is installed."""
        return Environment(self.base_image())


def engine_for(instance: Instance, kind: SandboxKind) -> Engine | None:
    """Return the engine for an instance's own image; None for an instance without one.

    Raises SandboxError where no engine of that kind can use an image.
    """
    if not instance.image:
        return None

    def make(kind: Kind) -> Engine:
        if kind not in ("docker", "podman"):
            raise SandboxError("an image needs docker or podman.")
        return InstanceEngine(kind, instance.image)

    return choose(kind, trust=True, make=make)


def _variables(sandbox: InstanceSandbox) -> list[str]:
    result = sandbox.exec(["/bin/sh", "-c", _VARIABLES], timeout=120)
    pairs = [pair for pair in result.text.split("\0") if "=" in pair]
    return [
        pair
        for pair in pairs
        if pair.partition("=")[0] not in _SHELL_OWN and "\n" not in pair and "BASH_FUNC" not in pair
    ]


def _must(sandbox: InstanceSandbox, script: str) -> None:
    result = sandbox.exec(script, timeout=600)
    if not result.ok:
        words = result.stderr.decode("utf-8", "replace").strip()[-500:]
        raise SandboxError(f"The instance's image can't be used: {words or 'a command failed'}")


class _Chunks(io.RawIOBase):
    """A file over pieces as the engine sends them."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._left = chunks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._left = self._left or next(self._chunks, b"")
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size
