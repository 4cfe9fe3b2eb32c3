"""What a step costs: the whole loop in the sandbox against a scripted server without latency.

    python benchmarks/steps.py [STEPS ...]

Reads, searches, commands and real edits take turns. Prints milliseconds a step, the last ten
against the first ten, process start to first request, peak memory, bytes of the first request and
bytes added by each step.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.scripted_server import ScriptedServer
from support.tasks import own_tasks, turn


def turns(steps: int) -> list[dict[str, Any]]:
    """Return a run of so many steps that ends with a submission."""
    made = []
    for number in range(steps - 2):
        made.append(
            [
                turn("read", path="calc.py", start_line=1 + number % 7),
                turn("search", pattern=f"clamp|{number}"),
                turn("bash", command=f"echo {number}; ls"),
                turn("edit", path=f"notes/{number}.py", old_str="", new_str=f"N = {number}\n"),
            ][number % 4]
        )
    return [*made, turn("submit", summary="Done."), turn("submit", summary="Done.")]


@contextmanager
def serving(script: list[dict[str, Any]]) -> Iterator[tuple[str, Callable[[], list[int]]]]:
    """Serve a script from a process of its own; yield its address and the requests' sizes."""
    ours, theirs = Pipe()
    server = Process(target=_serve, args=(script, theirs), daemon=True)
    server.start()

    def sizes() -> list[int]:
        ours.send("sizes")
        return list(ours.recv())

    yield ours.recv(), sizes
    server.terminate()


def _serve(script: list[dict[str, Any]], pipe: Connection) -> None:
    with ScriptedServer(script, context=1_000_000) as server:
        pipe.send(server.base_url)
        pipe.recv()
        pipe.send([len(json.dumps(chat)) for chat in server.chats])


def measure(steps: int) -> None:
    """Run once and print one line of figures."""
    with tempfile.TemporaryDirectory() as place:
        task = own_tasks(Path(place) / "tasks")[0]
        with serving(turns(steps)) as (base_url, sizes_of):
            started = time.time()
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "reapair", "solve", task.issue, "--json",
                 "--max-steps", str(steps + 1), "--base-url", base_url],
                cwd=task.repository, stdout=subprocess.PIPE,
                env=os.environ | {"XDG_STATE_HOME": place},
            )  # fmt: skip
            events = [json.loads(line) for line in process.stdout or ()]
            _, _, usage = os.wait4(process.pid, 0)
            sizes = sizes_of()
    asked = [event["ts"] for event in events if event["kind"] == "request"]
    each = [1000 * (after - before) for before, after in pairwise(asked)]
    print(
        f"{steps:>4} steps: {statistics.median(each):.1f} ms a step at the median, "
        f"last ten / first ten {statistics.median(each[-10:]) / statistics.median(each[:10]):.2f}, "
        f"{asked[0] - started:.2f} s to the first request, {usage.ru_maxrss / 1024:.0f} MB, "
        f"{sizes[0]} bytes first, {(sizes[-1] - sizes[0]) / (len(sizes) - 1):.0f} bytes a step"
    )


if __name__ == "__main__":
    for steps in [int(word) for word in sys.argv[1:]] or [50, 200]:
        measure(steps)
