"""Starts a model server that keeps running, records it for `solve`, and stops it.

    kept = Keeper(directory).start(plan, model, port=8080, say=print)
    ...
    Keeper(directory).stop()

One server for a directory. Its state file (`model/kept_server.py`) holds address, key and process.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Self

from reapair.agent.model.kept_server import Kept, began, kept_server, state_file
from reapair.agent.model.servers import is_ready
from reapair.agent.model.types import ModelError, Server, ServerKind
from reapair.agent.serve.command import command_of
from reapair.agent.serve.plan import NO_EMBEDDED, Plan
from reapair.sandbox.write_whole import write_whole

_LOAD_SECONDS = 900.0
"""Longest time a model may take to load: a 23B file from a slow disk needs minutes."""

_STOP_SECONDS = 15.0

_GATE = 'read -r go && exec "$@" </dev/null'
_GATE_LEASED = 'read -r go && exec "$@"'
"""The server begins only once its process is written down, so none is ever left unknown."""


class Keeper:
    """The one server of a directory; by default the user's own."""

    def __init__(self, directory: Path | None = None) -> None:
        self._state = state_file(directory)
        self.directory = self._state.parent
        self._lease: IO[bytes] | None = None

    def running(self) -> Kept | None:
        """Return the server if it is alive."""
        return kept_server(self.directory)

    def start(
        self,
        plan: Plan,
        model: Path | None,
        *,
        port: int,
        extra: list[str] | None = None,
        leased: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> Kept:
        """Start the plan's server and wait until it has loaded its model.

        Args:
            plan: what to start.
            model: the GGUF file; None for vLLM.
            port: where it listens on loopback; 0 takes a free one.
            extra: further arguments for the engine.
            leased: it ends with this process, however that goes; embedded engine only.
            say: called about once a second while the model loads, with a line for people.

        Raises ModelError: one runs already, the port is taken, or it did not come up.
        """
        if kept := self.running():
            raise ModelError(
                f"A server runs already: {kept.model} at {kept.base_url}.\n"
                "Stop it first: agent serve --stop"
            )
        port = _free_port(port)
        slots = self.directory / "slots"
        slots.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        log = self.directory / "server.log"
        key = secrets.token_urlsafe(24)
        command = command_of(plan, model, port=port, slots_saved=slots, keep=not leased)
        with log.open("wb") as output:
            child = subprocess.Popen(
                ["sh", "-c", _GATE_LEASED if leased else _GATE, "sh", *command, *(extra or [])],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=os.environ | dict.fromkeys(("LLAMA_API_KEY", "VLLM_API_KEY"), key),
                start_new_session=True,  # It outlives this command, and Ctrl-C is not for it.
            )
        kept = Kept(
            f"http://127.0.0.1:{port}/v1", key, plan.engine, plan.model, plan.context, plan.slots,
            child.pid, began(child.pid), str(log),
        )  # fmt: skip
        self._remember(kept)
        assert child.stdin  # noqa: S101 - asked for above
        child.stdin.write(b"go\n")
        child.stdin.flush()
        self._lease = child.stdin if leased else child.stdin.close()
        try:
            self._wait(child, kept, say)
        except BaseException:
            self.stop()
            raise
        return kept

    def stop(self) -> Kept | None:
        """End the server and all it started; return it, or None when none ran."""
        kept = self.running()
        if kept:
            _signal(kept.pid, signal.SIGTERM)
            end = time.monotonic() + _STOP_SECONDS
            while began(kept.pid) == kept.begun and time.monotonic() < end:
                time.sleep(0.05)
            _signal(kept.pid, signal.SIGKILL)  # Workers that outlived their leader.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(kept.pid, 0)
        self._state.unlink(missing_ok=True)
        return kept

    def _remember(self, kept: Kept) -> None:
        write_whole(self._state, json.dumps(asdict(kept)).encode())

    def _wait(self, child: subprocess.Popen[bytes], kept: Kept, say: Callable[[str], None]) -> None:
        kind: ServerKind = "vllm" if kept.engine == "vllm" else "llama.cpp"
        server = Server(kind, kept.base_url, kept.model, None, "", "")
        began, told = time.monotonic(), 0.0
        while not is_ready(server):
            waited = time.monotonic() - began
            if child.poll() is not None:
                raise ModelError(_why(kept, child.returncode))
            if waited > _LOAD_SECONDS:
                raise ModelError(
                    f"{kept.model} was not loaded after {_LOAD_SECONDS:.0f} seconds.\n"
                    f"See {kept.log}, or take a smaller file."
                )
            if waited - told >= 1:
                told = waited
                say(f"loading {kept.model}: {waited:.0f} s")
            time.sleep(0.1)


class EmbeddedServer:
    """The embedded llama.cpp for one block of code; it ends with this process at the latest.

    Args:
        model: the GGUF file.
        context_tokens: size of the context that all slots share.
        directory: keeps state and log.
        slots: conversations that are served at once.
        say: see `Keeper.start`.

    Attributes:
        base_url, api_key: known inside the block.

    Raises ModelError when llama.cpp is not installed, or can't serve the file.
    """

    base_url: str
    api_key: str

    def __init__(
        self,
        model: Path,
        *,
        context_tokens: int,
        directory: Path,
        slots: int = 1,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._keeper = Keeper(directory)
        self._model = model
        self._context = context_tokens // slots
        self._slots = slots
        self._say = say

    def __enter__(self) -> Self:
        if find_spec("xllamacpp") is None:
            raise ModelError(NO_EMBEDDED)
        if not self._model.is_file():
            raise ModelError(
                f"There is no model file {self._model}.\nName a GGUF file that exists."
            )
        # One thread is fastest for a tiny model on a busy machine.
        plan = Plan("embedded", self._model.name, 0, self._context, self._slots, "")
        kept = self._keeper.start(plan, self._model, port=0, leased=True, say=self._say)
        self.base_url, self.api_key = kept.base_url, kept.api_key
        return self

    def __exit__(self, *_: object) -> None:
        self._keeper.stop()


def _why(kept: Kept, code: int) -> str:
    """Return an error that explains, from its log, why a server ended while it loaded."""
    lines = Path(kept.log).read_text("utf-8", "replace").splitlines()
    said = [line.strip() for line in lines if "error" in line.lower() or " E " in line]
    reason = said[0][-300:] if said else (lines[-1][-300:] if lines else f"exit code {code}")
    text = "\n".join(lines[-400:]).lower()
    if "out of memory" in text or "outofmemory" in text:
        mend = "Not enough memory. Try: agent serve --context 32768"
        if kept.engine == "vllm":
            mend += " -- --max-num-seqs 64"
    elif "address already in use" in text or "couldn't bind" in text:
        mend = "The port was taken meanwhile. Try: agent serve --port 0"
    else:
        mend = f"Its log is {kept.log}"
    return f"{kept.engine} could not serve {kept.model}: {reason}\n{mend}"


def _free_port(port: int) -> int:
    """Return the port if nothing listens there; for 0 one that is free. Raises ModelError."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ModelError(
                f"Port {port} is taken on this machine.\n"
                "If a model server has it, solve finds that by itself (see agent doctor); else "
                "take another one: agent serve --port 0"
            ) from error
        return int(probe.getsockname()[1])


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
