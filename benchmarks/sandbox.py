"""What a sandbox costs: a command, the start, and bytes in and out, beside the usual ways.

    python benchmarks/sandbox.py [--rounds N] [--peer-python PATH]

All ways take turns in one process, on one image, so that their ratios hold on a busy machine, too.
`--peer-python` names the Python of an environment with mini-swe-agent, whose Docker environment is
then measured as well; without it the running Python is asked. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, cast

from reapair.sandbox.base import Sandbox, SandboxError
from reapair.sandbox.command_limits import CommandLimits
from reapair.sandbox.containers.docker import DockerSandbox
from reapair.sandbox.containers.docker_engine import DockerEngine
from reapair.sandbox.containers.docker_exec import run_once
from reapair.sandbox.engines import choose
from reapair.sandbox.output import HeadTail

PAYLOAD = 64 * 2**20
COMMAND = "true"

_PEER = """
import os, sys, time
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # where it logs
from minisweagent.environments.docker import DockerEnvironment
def timed(work):
    begin = time.perf_counter()
    work()
    print(time.perf_counter() - begin, file=answers, flush=True)
box = DockerEnvironment(image=sys.argv[1], cwd="/testbed")
for line in sys.stdin:
    if line == "start\\n":
        timed(lambda: DockerEnvironment(image=sys.argv[1]).execute({"command": "true"}))
    else:
        timed(lambda: box.execute({"command": line}))
box.cleanup()
"""

Timed = Callable[[], float]


def seconds(work: Callable[[], object]) -> float:
    """Return how long a piece of work takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


@contextmanager
def peer(python: str, image: str) -> Iterator[Callable[[str], float] | None]:
    """Yield what runs a line in mini-swe-agent's environment and returns its seconds, or None."""
    with subprocess.Popen(
        [python, "-c", _PEER, image],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"MSWEA_SILENT_STARTUP": "1"},
        text=True,
    ) as process:
        requests, answers = cast(IO[str], process.stdin), cast(IO[str], process.stdout)

        def ask(line: str) -> float:
            with suppress(BrokenPipeError):
                print(line, file=requests, flush=True)
            return float(answers.readline() or "nan")

        yield None if math.isnan(ask(COMMAND)) else ask
        requests.close()


def exec_api(sandbox: DockerSandbox) -> None:
    """Run the command as an exec of its own, which leaves what it started running."""
    outputs = HeadTail(1000), HeadTail(1000)
    with CommandLimits(60, lambda: False) as limits:
        run_once(sandbox.api, sandbox.container, ["bash", "-c", COMMAND], {}, b"", outputs, limits)


def docker_exec(sandbox: DockerSandbox) -> list[str]:
    """Return the call of the command line that runs a script in a container."""
    return ["docker", "exec", "-i", "-u", "1000", sandbox.container, "bash", "-c"]


def commands(
    sandbox: DockerSandbox, bubblewrap: Sandbox | None, ask: Callable[[str], float] | None
) -> dict[str, Timed]:
    """Return the ways to run one command, the bare one first."""
    cli = docker_exec(sandbox)
    ways: dict[str, Timed] = {
        "bare": lambda: seconds(lambda: subprocess.run(["bash", "-c", COMMAND], check=True)),
        "our Docker sandbox": lambda: seconds(lambda: sandbox.exec(COMMAND)),
        "exec API": lambda: seconds(lambda: exec_api(sandbox)),
        "`docker exec`": lambda: seconds(lambda: subprocess.run([*cli, COMMAND], check=True)),
    }
    if bubblewrap:
        ways["our bubblewrap sandbox"] = lambda: seconds(lambda: bubblewrap.exec(COMMAND))
    if ask:
        ways["mini-swe-agent"] = lambda: ask(COMMAND)
    return ways


def starts(
    engine: DockerEngine, image: str, ask: Callable[[str], float] | None
) -> dict[str, Timed]:
    """Return the ways to get to the end of the first command, the cached image of ours first."""

    def first(key: bytes, *, keep: bool) -> float:
        begin = time.perf_counter()
        environment = engine.prepare(key, COMMAND, lambda _: None, lambda _: None)
        with engine.sandbox(environment, "benchmark") as sandbox:
            sandbox.exec(COMMAND)
            taken = time.perf_counter() - begin
        if not keep:
            forget(engine, environment.reference)
        return taken

    ways: dict[str, Timed] = {
        "ours, cached image": lambda: first(b"benchmark", keep=True),
        "ours, no cached image": lambda: first(uuid.uuid4().bytes, keep=False),
        "`docker run`": lambda: seconds(
            lambda: subprocess.run(["docker", "run", "--rm", image, COMMAND], check=True)
        ),
    }
    if ask:
        ways["mini-swe-agent"] = lambda: ask("start")
    return ways


def forget(engine: DockerEngine, image: str) -> None:
    """Remove an environment's image."""
    api = engine.connect()
    api.remove_image(image)
    api.close()


def streams(sandbox: DockerSandbox) -> dict[str, Timed]:
    """Return the ways to move PAYLOAD bytes, the bare ones first."""
    data = b"x" * PAYLOAD
    cli = docker_exec(sandbox)
    take, give = "cat > /dev/null", f"head -c {PAYLOAD} /dev/zero"

    def host(argv: list[str], given: bytes = b"") -> Timed:
        return lambda: seconds(
            lambda: subprocess.run(argv, input=given, capture_output=True, check=True)
        )

    return {
        "in, bare": host(["bash", "-c", take], data),
        "in, our Docker sandbox": lambda: seconds(lambda: sandbox.exec(take, stdin=data)),
        "in, `docker exec`": host([*cli, take], data),
        "out, bare": host(["bash", "-c", give]),
        "out, our Docker sandbox": lambda: seconds(lambda: sandbox.exec(give)),
        "out, `docker exec`": host([*cli, give]),
    }


def medians(ways: dict[str, Timed], rounds: int) -> dict[str, float]:
    """Run all ways in turn so many times; return each one's median, in seconds."""
    for way in ways.values():
        way()
    taken = [{name: way() for name, way in ways.items()} for _ in range(rounds)]
    return {name: statistics.median(row[name] for row in taken) for name in ways}


def print_table(title: str, found: dict[str, float]) -> None:
    """Print milliseconds, those beyond the first row's, and the ratio to it."""
    base = next(iter(found.values()))
    print(f"\n| {title} | ms | beyond the first | ratio |\n|---|---|---|---|")
    for name, each in found.items():
        print(f"| {name} | {1000 * each:.1f} | {1000 * (each - base):+.1f} | {each / base:.2f} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--peer-python", default=sys.executable)
    options = parser.parse_args()
    engine = DockerEngine()
    image = engine.base_image()
    with ExitStack() as stack:
        sandbox = stack.enter_context(DockerSandbox(engine.connect, image, "benchmark"))
        ask = stack.enter_context(peer(options.peer_python, image))
        try:
            hosted = choose("bubblewrap")
            environment = hosted.prepare(b"", None, lambda _: None, print)
            bubblewrap = stack.enter_context(hosted.sandbox(environment, "benchmark"))
        except SandboxError:
            bubblewrap = None
        print_table("command", medians(commands(sandbox, bubblewrap, ask), options.rounds))
        few = max(3, options.rounds // 8)
        print_table("start to first command", medians(starts(engine, image, ask), few))
        moved = medians(streams(sandbox), few)
        print(f"\n| {PAYLOAD >> 20} MiB | MB/s |\n|---|---|")
        for name, each in moved.items():
            print(f"| {name} | {PAYLOAD / each / 1e6:.0f} |")


if __name__ == "__main__":
    main()
