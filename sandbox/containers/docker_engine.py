"""The engine whose sandboxes are containers of Docker, or of podman by its compatible API."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from reapair.sandbox.base import WORKSPACE, Sandbox, SandboxError
from reapair.sandbox.containers.docker import SECRETS, DockerSandbox
from reapair.sandbox.containers.labels import HOST, boot_id, orphaned
from reapair.sandbox.containers.podman_service import podman_address
from reapair.sandbox.containers.prune import ENVIRONMENTS, IMAGE_LABEL, prune_images
from reapair.sandbox.environment import (
    PYTEST_SETUP,
    Engine,
    Environment,
    SetupError,
    environment_key,
    install,
)
from reapair.sandbox.host.directories import cache
from reapair.sandbox.output import Listener, by_line

if TYPE_CHECKING:
    from docker import APIClient

_API_SECONDS = 120

_FROM_USER = f"""FROM {{image}}
USER 0:0
RUN command -v git >/dev/null || {{{{ echo 'git is missing' >&2; exit 1; }}}}
RUN mkdir -p {WORKSPACE} /home/agent && chown -R 1000:1000 {WORKSPACE} /home/agent
ENV PATH=/home/agent/.local/bin:$PATH
"""


class DockerEngine(Engine):
    """Sandboxes in containers.

    Args:
        kind: "docker" is found as by the `docker` command (DOCKER_HOST), "podman" as in
            `podman_service`.
        image: the user's image instead of the built-in one; it needs `sh` and `git`.
    """

    make: Callable[..., DockerSandbox] = DockerSandbox
    """Class of the sandboxes."""

    def __init__(self, kind: Literal["docker", "podman"] = "docker", image: str | None = None):
        self.kind: Literal["docker", "podman"] = kind
        self.image = image
        self._base = ""
        self._version = "auto"

    def connect(self) -> APIClient:
        """Return a new client of the engine's API. Raises SandboxError when none answers."""
        import docker
        from docker.errors import DockerException

        try:
            if self.kind == "docker":
                client = docker.from_env(version=self._version, timeout=_API_SECONDS).api
            else:
                client = docker.APIClient(podman_address(), self._version, timeout=_API_SECONDS)
            self._version = client.api_version  # asked for once
            return client
        except DockerException as error:
            raise SandboxError(f"{self.kind} does not answer: {error}") from error

    @contextmanager
    def _client(self) -> Iterator[APIClient]:
        api = self.connect()
        try:
            yield api
        finally:
            api.close()

    def check(self) -> None:
        """Run `true` in a container of the image that sandboxes start from."""
        sandbox = self._sandbox(self.base_image(), "check")
        try:
            sandbox.start()
            if not sandbox.exec(["true"]).ok:
                raise SandboxError(f"{self.kind} started a container, but no command runs in it.")
        finally:
            if self.kind == "docker":
                # No need to wait: the engine removes the container by itself, too.
                threading.Thread(target=sandbox.close, daemon=True).start()
            else:
                sandbox.close()
        with suppress(OSError, SandboxError):
            self._marker().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._marker().touch()

    def worked(self) -> bool:
        """Return whether a check has passed since the machine was booted."""
        return self._marker().exists()

    def distrust(self) -> None:
        """Forget the passed check, so that the next run checks again."""
        with suppress(OSError, SandboxError):
            self._marker().unlink()

    def _marker(self) -> Path:
        """Return the file that records a passed check of this engine with this image."""
        from docker.errors import DockerException

        image = self._image_id(self.base_image())
        try:
            with self._client() as api:
                identity = f"{self.kind} {api.info()['ID']} {image} {boot_id()}"
        except DockerException as error:
            raise SandboxError(f"{self.kind} does not answer: {error}") from error
        return cache() / "checked" / hashlib.sha256(identity.encode()).hexdigest()[:20]

    def base_image(self) -> str:
        """Return the image without environment; it is built when it does not exist."""
        if not self._base:
            self._base = self.make_base()
        return self._base

    def make_base(self) -> str:
        """Return the image without environment, built or found."""
        return self._derived_image(self.image) if self.image else self._own_image()

    def prepare(
        self,
        key: bytes,
        setup_command: str | None,
        fill: Callable[[Sandbox], None],
        on_output: Callable[[str], None],
    ) -> Environment:
        """Commit the container in which the set-up command ran; see `Engine.prepare`."""
        base = self.base_image()
        if setup_command:
            return self._image_with(setup_command, key, fill, by_line(on_output))
        if self.image:
            return Environment(base)
        try:
            return self._image_with(PYTEST_SETUP, b"", lambda _: None, None)
        except SetupError as error:
            on_output(f"pytest could not be installed; continuing without it: {str(error)[-300:]}")
            return Environment(base)

    def sandbox(self, environment: Environment, run_id: str) -> Sandbox:
        """Return a sandbox on the environment's image, not started."""
        return self._sandbox(environment.reference, run_id)

    def sweep(self) -> None:
        """Remove this host's containers and volumes whose process has exited, and old images."""
        from docker.errors import DockerException

        mine = {"label": HOST}
        # Another process may sweep at the same time; what is left goes next time.
        with self._client() as api, suppress(DockerException):
            for container in api.containers(all=True, filters=mine):
                if orphaned(container["Labels"]):
                    api.remove_container(container["Id"], v=True, force=True)
            for volume in api.volumes(filters=mine)["Volumes"] or []:
                if orphaned(volume["Labels"]):
                    api.remove_volume(volume["Name"])
            prune_images(api)

    def _sandbox(self, image: str, run_id: str, **options: Any) -> DockerSandbox:
        return self.make(self.connect, image, run_id, kind=self.kind, **options)

    def _image_with(
        self,
        command: str,
        key: bytes,
        fill: Callable[[Sandbox], None],
        listener: Listener | None,
    ) -> Environment:
        tag = environment_key(self.base_image(), command, key)
        name = f"{ENVIRONMENTS}:{tag}"
        if self._image_id(name):
            return Environment(name, reused=True)
        with self._sandbox(self.base_image(), "setup", setup=True, listener=listener) as sandbox:
            install(sandbox, command, fill, SECRETS)
            sandbox.exec("rm -rf /tmp/* /tmp/.[!.]* ~/.cache/pip", timeout=300)
            sandbox.api.commit(
                sandbox.container,
                ENVIRONMENTS,
                tag,
                changes=f"LABEL {IMAGE_LABEL}=environment",
            )
        return Environment(name)

    def _own_image(self) -> str:
        dockerfile = (Path(__file__).parents[1] / "Dockerfile").read_text()
        # Nothing of a repository runs in this one, so it may use the proxies of Docker's own file.
        complaint = "The base image could not be built"
        return self.build("reapair-base", dockerfile, complaint, use_config_proxy=True)

    def _derived_image(self, image: str) -> str:
        return self.build(
            "reapair-image",
            _FROM_USER.format(image=self.found_or_pulled(image)),
            f"The image {image} cannot be used; it needs sh, git and mkdir",
        )

    def _image_id(self, name: str) -> str | None:
        from docker.errors import ImageNotFound

        with self._client() as api:
            try:
                return str(api.inspect_image(name)["Id"])  # type: ignore[no-untyped-call]
            except ImageNotFound:
                return None

    def found_or_pulled(self, name: str) -> str:
        """Return the id of an image, which is pulled when it is not here. Raises SandboxError."""
        return self._image_id(name) or self._pull(name)

    def _pull(self, name: str) -> str:
        from docker.errors import DockerException

        tag = None if ":" in name.rpartition("/")[2] or "@" in name else "latest"
        try:
            with self._client() as api:
                api.pull(name, tag=tag)
        except DockerException as error:
            raise SandboxError(
                f"The image {name} does not exist here and cannot be pulled: {error}. "
                "Pull or build it first, or omit --image."
            ) from error
        return self._image_id(name) or name

    def build(
        self, repository: str, dockerfile: str, complaint: str, *, use_config_proxy: bool = False
    ) -> str:
        """Return the name of the image that a Dockerfile without context makes.

        Raises SandboxError, whose message begins with the complaint.
        """
        from docker.errors import DockerException

        name = f"{repository}:{hashlib.sha256(dockerfile.encode()).hexdigest()[:16]}"
        if self._image_id(name):
            return name
        with self._client() as api:
            try:
                events = list(
                    api.build(
                        fileobj=io.BytesIO(dockerfile.encode()),
                        tag=name,
                        rm=True,
                        forcerm=True,
                        labels={IMAGE_LABEL: repository},
                        decode=True,
                        use_config_proxy=use_config_proxy,
                    )
                )
            except DockerException as error:
                raise SandboxError(f"{complaint}: {error}") from error
        if any("error" in event for event in events):
            said = " ".join(str(e.get("stream") or e.get("error") or "") for e in events[-6:])
            raise SandboxError(f"{complaint}: {' '.join(said.split())}")
        return name
