"""llama.cpp's own server from the `xllamacpp` wheel, as a process: what `Keeper` starts.

`python -m reapair.agent.serve.embedded MODEL --context N --threads N` serves until its standard
input ends: the pipe is a lease that the kernel takes back when the parent is gone, however it went.
With `--keep` it stays. The key is in the environment, where other users can't read it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

ALIAS = "embedded"
"""The model's name on the wire."""


def serve(given: argparse.Namespace, api_key: str) -> None:
    """Serve the model until standard input ends."""
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
    print(server.listening_address, flush=True)
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
    serve(given, os.environ.pop("LLAMA_API_KEY", ""))


if __name__ == "__main__":
    main()
