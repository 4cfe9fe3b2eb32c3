"""The sandbox in a container of Docker, or of podman through its Docker-compatible socket."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reapair.sandbox.base import OUTPUT_LIMIT, WORKSPACE, ExecResult, Kind, Sandbox, SandboxError
from reapair.sandbox.command_limits import CommandLimits, overfull
from reapair.sandbox.containers.channel import Channel, fits
from reapair.sandbox.containers.docker_exec import USER, CommandEnd, Outputs, disk_use, run_once
from reapair.sandbox.containers.labels import owner_labels
from reapair.sandbox.limits import COMMAND_ENVIRONMENT, HOME, MIB, SEALED_PROBE, TMP, Limits
from reapair.sandbox.output import HeadTail, Listener, result, unusable

if TYPE_CHECKING:
    from docker import APIClient

SECRETS = "/run/setup"
"""A small tmpfs of the set-up container: nothing in it gets into an image."""

# By default podman sets higher limits than some machines permit.
_PODMAN_ULIMITS = {"nofile": 8192, "nproc": 16384}
_KILL_ATTEMPTS = 30
# Podman neither ends a container whose owner has exited, nor has an init that reaps orphans: a
# deadline and a waiting shell do that instead.
_PODMAN_LIFE = "exec 3<&0; timeout 86400 cat <&3 & wait"

# The last word shows that the container still works and is not just being killed.
_KILL_AND_COUNT = (
    "kill -9 -1; cat /sys/fs/cgroup/memory/memory.oom_control /sys/fs/cgroup/memory.events"
    "; echo still_here"
)


class DockerSandbox(Sandbox):
    """A hardened container that runs only as long as this process holds its standard input.

    PID 1 is `cat` as root without capabilities, so commands (uid 1000) cannot end it; when the
    owner exits, even by SIGKILL, `cat` reads its end of file and the engine removes the container.

    Args:
        connect: makes an API client; each sandbox has its own.
        image: has `sh`, `cat`, `head` and a /testbed that belongs to uid 1000.
        run_id: goes into the labels.
        kind: "docker", or "podman", where the lease on stdin does not hold and a deadline is used.
        setup: True for the phase that installs dependencies: network, a writable root, and no
            volumes, so that the container can be committed to an image.
        listener: called with all output while a command runs.
        runtime: another OCI runtime of the engine, such as gVisor's `runsc`.
    """

    user = USER
    """User and group of commands."""

    lease_user = "0:0"
    """User of PID 1; never that of commands, which could end it."""

    watched: Sequence[str] = (WORKSPACE, HOME)
    """Folders whose size is limited."""

    environment: Mapping[str, str] = COMMAND_ENVIRONMENT
    """Variables that every command starts with."""

    def __init__(
        self,
        connect: Callable[[], APIClient],
        image: str,
        run_id: str,
        *,
        kind: Kind = "docker",
        limits: Limits | None = None,
        setup: bool = False,
        listener: Listener | None = None,
        runtime: str | None = None,
    ) -> None:
        self.kind = kind
        self.container = ""
        self._connect = connect
        self._image = image
        self._run_id = run_id
        self._limits = limits or Limits()
        self._setup = setup
        self._listener = listener
        self._runtime = runtime
        self._api: APIClient | None = None
        self._lease: Any = None
        self._channel: Channel | None = None
        self._shell = "/bin/sh"
        self._oom_kills = 0

    @property
    def api(self) -> APIClient:
        """The client of this sandbox. Raises SandboxError before `start` and after `close`."""
        if self._api is None:
            raise SandboxError("The sandbox is not running.")
        return self._api

    def start(self) -> None:
        """Create and start the container. Raises SandboxError."""
        from docker.errors import DockerException

        try:
            self._api = self._connect()
            self.container = self._create(self._api)
            self._lease = self._api.attach_socket(self.container, params={"stdin": 1, "stream": 1})
            self._api.start(self.container)
            self._probe()
        except (DockerException, OSError) as error:
            self.close()
            raise SandboxError(f"{self.kind} could not start a sandbox: {error}") from error

    def exec(
        self,
        command: str | Sequence[str],
        *,
        timeout: float = 60.0,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> ExecResult:
        """Run a command in a process of its own; see `Sandbox.exec`."""
        from docker.errors import DockerException

        argv = [self._shell, "-c", command] if isinstance(command, str) else list(command)
        variables = dict(env or {})
        if problem := unusable(argv, variables):
            return problem
        listener = self._listener
        outputs = HeadTail(output_limit, listener), HeadTail(output_limit, listener)
        api = self.api
        try:
            with CommandLimits(timeout, self._overfull) as limits:
                if fits(argv, variables, stdin):
                    done = self._run_fast(api, argv, variables, stdin, outputs, limits)
                    if done is not None:
                        return done
                return self._run_once(api, argv, variables, stdin, outputs, limits)
        except (DockerException, OSError, SandboxError) as error:
            if self._alive():
                raise SandboxError(f"{self.kind} could not run a command: {error}") from error
            self.close()
            return result(None, outputs, died=True)

    def host_address(self) -> str | None:
        """Return the gateway of the container's network; an engine elsewhere has one of its own."""
        networks = self.api.inspect_container(self.container)["NetworkSettings"]["Networks"]
        found = [network.get("Gateway") for network in (networks or {}).values()]
        return next(filter(None, found), None) if self._setup else None

    def close(self) -> None:
        """Release the lease and remove the container with its volumes."""
        from docker.errors import DockerException

        self.closed = True
        api, self._api = self._api, None
        if self._lease is not None:
            with contextlib.suppress(OSError):
                self._lease._sock.close()
                self._lease.close()
            self._lease = None
        self._drop_channel()
        if api is None:
            return
        if self.container:
            # The engine removes it too as soon as `cat` ends; either may be first.
            with contextlib.suppress(DockerException, OSError):
                api.remove_container(self.container, v=True, force=True)
        api.close()

    def _probe(self) -> None:
        """Find the shell, and check that there is really no network."""
        bash = self.exec(["/bin/sh", "-c", "command -v bash >/dev/null"])
        if bash.died:
            raise SandboxError(f"The container that {self.kind} has started ended at once.")
        if not (self._setup or self.exec(["/bin/sh", "-c", SEALED_PROBE]).ok):
            self.close()
            raise SandboxError(f"The container that {self.kind} has started has a network.")
        self._shell = "bash" if bash.ok else "/bin/sh"

    def _create(self, api: APIClient) -> str:
        created = api.create_container(
            self._image,
            [],
            entrypoint=["/bin/sh", "-c", _PODMAN_LIFE] if self.kind == "podman" else ["cat"],
            hostname="sandbox",
            user=self.lease_user,
            stdin_open=True,
            detach=False,
            environment=dict(self.environment),
            working_dir=WORKSPACE,
            labels=owner_labels(self._run_id),
            healthcheck={"test": ["NONE"]},
            use_config_proxy=False,  # its address may hold a password
            host_config=api.create_host_config(**self._host_config(api)),
        )
        return str(created["Id"])

    def _host_config(self, api: APIClient) -> dict[str, Any]:
        from docker.types import LogConfig, Ulimit

        limits, labels = self._limits, owner_labels(self._run_id)
        ulimits = _PODMAN_ULIMITS if self.kind == "podman" else {}
        config: dict[str, Any] = {
            "auto_remove": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "ipc_mode": "private",
            "init": self.kind == "docker",
            "pids_limit": limits.processes,
            "mem_limit": limits.memory,
            "memswap_limit": limits.memory,
            "nano_cpus": int(min(limits.cpus, api.info()["NCPU"]) * 1_000_000_000),
            "ulimits": [
                Ulimit(name=name, soft=value, hard=value)
                for name, value in ({"fsize": limits.file, "core": 0} | ulimits).items()
            ],
            "log_config": LogConfig(type="none"),
            "runtime": self._runtime,
        }
        if self._setup:
            return config | {"tmpfs": {SECRETS: f"rw,noexec,nosuid,nodev,size={MIB},mode=1777"}}
        return config | self.closed_off(limits, labels)

    def closed_off(self, limits: Limits, labels: dict[str, str]) -> dict[str, Any]:
        """Return the options that isolate commands, and the volumes they may write to."""
        from docker.types import Mount

        return {
            "network_mode": "none",
            "read_only": True,
            "tmpfs": {TMP: f"rw,exec,nosuid,nodev,size={limits.tmp},mode=1777"},
            "mounts": [
                Mount(target=place, source="", type="volume", labels=labels)
                for place in (WORKSPACE, HOME)
            ],
        }

    def _run_fast(
        self,
        api: APIClient,
        argv: list[str],
        env: dict[str, str],
        stdin: bytes,
        outputs: Outputs,
        limits: CommandLimits,
    ) -> ExecResult | None:
        """Run a command through the waiting shell; return None when it did not start there."""
        if self._channel is None:
            self._channel = Channel(api, self.container, self.user)
        answer = self._channel.run(argv, env, stdin, outputs, limits)
        if answer.exit_code is not None:
            oom = self._note_oom(answer.oom_kills)
            return result(answer.exit_code, outputs, oom=oom)
        self._drop_channel()
        if not answer.started and not answer.stop:
            return None
        # No answer although it was not stopped: the command has killed the waiting shell.
        return self._after(CommandEnd(137, answer.stop), outputs)

    def _run_once(
        self,
        api: APIClient,
        argv: list[str],
        env: dict[str, str],
        stdin: bytes,
        outputs: Outputs,
        limits: CommandLimits,
    ) -> ExecResult:
        self._drop_channel()  # the clean-up kills its shell
        outcome = run_once(api, self.container, argv, env, stdin, outputs, limits, self.user)
        return self._after(outcome, outputs)

    def _after(self, outcome: CommandEnd, outputs: Outputs) -> ExecResult:
        """Clean up after a command, where the waiting shell has not done so."""
        output = self._kill_all()
        if b"still_here" not in output:
            self.close()
            return result(None, outputs, died=True)
        counts = [line.split() for line in output.splitlines()]
        oom = self._note_oom(sum(int(words[1]) for words in counts if words[0] == b"oom_kill"))
        return result(outcome.exit_code, outputs, stop=outcome.stop, oom=oom)

    def _drop_channel(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _kill_all(self) -> bytes:
        """Kill all processes of the commands' user; return what the clean-up printed."""
        output = b""
        for _ in range(_KILL_ATTEMPTS):
            killing = self.api.exec_create(
                self.container, ["/bin/sh", "-c", _KILL_AND_COUNT], user=self.user, stderr=False
            )
            output = self.api.exec_start(killing["Id"])
            # While a fork bomb uses up all processes, an exec may need several attempts.
            if b"still_here" in output or not self._alive():
                break
            time.sleep(0.1)
        return output

    def _overfull(self) -> bool:
        from docker.errors import DockerException

        try:
            with contextlib.closing(self._connect()) as api:
                used, free = disk_use(api, self.container, self.watched, self.user)
        except (DockerException, SandboxError, OSError, ValueError, IndexError):
            return False  # the thread that runs the command reports what is wrong
        return overfull(used, free, self._limits.disk)

    def _note_oom(self, kills: int) -> bool:
        new, self._oom_kills = kills > self._oom_kills, max(kills, self._oom_kills)
        return new

    def _alive(self) -> bool:
        from docker.errors import DockerException

        try:
            return bool(self.api.inspect_container(self.container)["State"]["Running"])
        except (DockerException, OSError, SandboxError):
            return False
