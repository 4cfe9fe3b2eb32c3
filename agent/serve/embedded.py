"""llama.cpp's own server from the `xllamacpp` wheel, as a child process that dies with its parent.

    with EmbeddedServer(model, context_tokens=16384, log_file=log) as server:
        ...  # speak to server.base_url with server.api_key

`python -m reapair.agent.serve.embedded MODEL --context N --threads N` is the child. It prints its
address once the model is loaded and ends when its standard input does: the pipe is a lease that
the kernel takes back when the parent is gone, however it went. With `--keep` it stays.
"""

from __future__ import annotations

import argparse
import os
import secrets
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Self

from reapair.agent.model.types import ModelError

ALIAS = "embedded"
"""The model's name on the wire."""

LOAD_SECONDS = 900.0
"""Longest time a model may take to load: a 23B file from a slow disk needs minutes."""

_KEY_VARIABLE = "LLAMA_API_KEY"


class EmbeddedServer:
    """A llama.cpp server on a free loopback port, behind a random key, for one client at a time.

    Args:
        model: the GGUF file.
        context_tokens: size of the context to serve.
        log_file: where the server's own log goes; it is kept.
        threads: threads that compute. One is fastest for a tiny model on a busy machine.
        slots: conversations that are served at once; they share the context.
        slots_saved: directory where slots may be saved; None: they may not.
        on_wait: called about once a second while the model loads, with the seconds so far.
    """

    base_url: str
    api_key: str

    def __init__(
        self,
        model: Path,
        *,
        context_tokens: int,
        log_file: Path,
        threads: int = 1,
        slots: int = 1,
        slots_saved: Path | None = None,
        on_wait: Callable[[float], None] | None = None,
    ) -> None:
        self.model = model
        self.context_tokens = context_tokens
        self.log_file = log_file
        self.threads = threads
        self.slots = slots
        self.slots_saved = slots_saved
        self._on_wait = on_wait or (lambda _: None)
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the child and wait until the model is loaded. Raises ModelError."""
        if find_spec("xllamacpp") is None:
            raise ModelError(
                "The embedded llama.cpp server is not installed.\n"
                "Install it with: pip install 'reapair[local]'"
            )
        if not self.model.is_file():
            raise ModelError(f"There is no model file {self.model}.\nName a GGUF file that exists.")
        self.api_key = secrets.token_urlsafe(24)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", __name__, str(self.model)]
        command += ["--context", str(self.context_tokens), "--threads", str(self.threads)]
        command += ["--slots", str(self.slots)]
        if self.slots_saved:
            command += ["--slots-saved", str(self.slots_saved)]
        with self.log_file.open("wb") as log:
            child = self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | {_KEY_VARIABLE: self.api_key},
                start_new_session=True,  # Ctrl-C is for the parent, which still needs the server.
            )
        try:
            assert child.stdout  # noqa: S101 - asked for above
            self.base_url = self._wait_for_address(child.stdout) + "/v1"
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the child. May be called twice."""
        if self._child is None:
            return
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe:
                pipe.close()
        try:
            self._child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait_for_address(self, out: IO[bytes]) -> str:
        """Return the address the child prints to `out` when the model is loaded."""
        began = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            while not selector.select(timeout=1.0):
                waited = time.monotonic() - began
                if waited > LOAD_SECONDS:
                    raise ModelError(
                        f"{self.model.name} was not loaded after {LOAD_SECONDS:.0f} seconds.\n"
                        f"See {self.log_file}, or take a smaller file."
                    )
                self._on_wait(waited)
        address = out.readline().decode().strip()
        if not address:
            raise ModelError(
                f"llama.cpp could not serve {self.model.name}: {self._last_error()}\n"
                f"Its log is {self.log_file}"
            )
        return address

    def _last_error(self) -> str:
        """Return the first error in llama.cpp's log: those that follow only repeat it."""
        lines = self.log_file.read_text("utf-8", "replace").splitlines()
        errors = (line.partition(" E ")[2].strip() for line in lines)
        return next((error for error in errors if error), "no reason given")


def serve(given: argparse.Namespace, api_key: str, out: IO[str]) -> None:
    """Serve the model until standard input ends; write the address to `out` once it is loaded."""
    import xllamacpp  # type: ignore[import-untyped, unused-ignore]

    parameters = xllamacpp.CommonParams()
    parameters.model.path = given.model
    parameters.model_alias = {ALIAS}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = given.port
    parameters.api_keys = [api_key] if api_key else []
    parameters.n_ctx = given.context
    parameters.n_parallel = given.slots
    parameters.n_gpu_layers = 0
    parameters.cpuparams.n_threads = given.threads
    parameters.cpuparams_batch.n_threads = given.threads
    parameters.use_jinja = True
    parameters.endpoint_props = parameters.endpoint_slots = parameters.endpoint_metrics = True
    parameters.slot_save_path = given.slots_saved and os.path.join(given.slots_saved, "")
    parameters.fit_params = parameters.warmup = parameters.ui = False
    parameters.offline = True
    try:
        server = xllamacpp.Server(parameters)
    except RuntimeError as error:  # llama.cpp has logged why.
        sys.exit(str(error))
    print(server.listening_address, file=out, flush=True)
    if given.keep:
        signal.pause()
    sys.stdin.buffer.read()
    os._exit(0)  # Its threads are C++ and would hold up an ordinary exit.


def main() -> None:
    """Run the child."""
    parser = argparse.ArgumentParser(prog="python -m reapair.agent.serve.embedded")
    parser.add_argument("model")
    parser.add_argument("--context", type=int, default=16384)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--slots-saved", default="")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    # Only the address may reach the parent's pipe, whatever the C++ side prints.
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        serve(given, os.environ.pop(_KEY_VARIABLE, ""), out)


if __name__ == "__main__":
    main()
