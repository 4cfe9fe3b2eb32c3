"""The same evaluation on a Ray cluster: nodes come and go, every instance is graded once.

Real Ray, several nodes on this machine, the real unit of work: each instance is graded by its tests
in a fresh directory (`--sandbox none`), with patches of which every second one is right.
"""

from __future__ import annotations

import json
import os
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from conftest import require

from reapair.agent.lab.evaluate.evaluation import Plan, evaluate
from reapair.agent.lab.evaluate.instance_job import Job
from reapair.agent.lab.evaluate.instances import Instance, InstanceError
from reapair.agent.lab.evaluate.records import Record, place_of, records, write_record
from reapair.agent.settings.settings import Settings
from support.proved import FAST, TESTS, proved_task

pytestmark = pytest.mark.long

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"

GOLD = """diff --git a/calc.py b/calc.py
--- a/calc.py
+++ b/calc.py
@@ -3,4 +3,4 @@

 def mean(values):
     \"\"\"Return the arithmetic mean.\"\"\"
-    return sum(values) / (len(values) - 1)
+    return sum(values) / len(values)
"""

NODE = {"num_cpus": 1, "memory": 2 << 30, "object_store_memory": 100 << 20}


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head that works on nothing and two nodes with one processor each."""
    require("Ray", find_spec("ray") is not None, "pip install 'reapair[ray]'")
    import ray
    from ray.cluster_utils import Cluster

    head = {**NODE, "num_cpus": 0, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=head)
    made.workers = [made.add_node(**NODE) for _ in range(2)]
    yield made
    ray.shutdown()
    made.shutdown()


def synthetic(place: Path, count: int) -> tuple[Path, Path]:
    """Write instances that share a repository, and predictions: every second one is right."""
    task = proved_task(place / "testbed")
    (task.repository / "test_calc.py").unlink()
    with tarfile.open(place / "repo.tar.gz", "w:gz") as tar:
        tar.add(task.repository, "testbed")
    lines = [f"+{line}" for line in TESTS.splitlines()]
    head = f"--- /dev/null\n+++ b/test_calc.py\n@@ -0,0 +1,{len(lines)} @@\n"
    common = {
        "repo": "swesmith/calc", "repo_archive": "repo.tar.gz", "repo_dir": "testbed",
        "problem_statement": task.issue, "test_cmd": FAST, "patch": "",
        "test_patch": head + "\n".join(lines) + "\n",
        "FAIL_TO_PASS": ["test_calc.py::test_mean"], "PASS_TO_PASS": ["test_calc.py::test_zeros"],
    }  # fmt: skip
    tasks, predictions = place / "tasks.jsonl", place / "predictions.jsonl"
    wrong = GOLD.replace("/ len(values)\n", "/ (len(values) + 1)\n")
    with tasks.open("w") as rows, predictions.open("w") as patches:
        for number in range(count):
            name = f"calc.{number:03}"
            rows.write(json.dumps({"instance_id": name, **common}) + "\n")
            patch = wrong if number % 2 else GOLD
            patches.write(json.dumps({"instance_id": name, "model_patch": patch}) + "\n")
    return tasks, predictions


def plan(place: Path, count: int) -> Plan:
    tasks, predictions = synthetic(place, count)
    return Plan(
        tasks,
        place / "out",
        Settings(sandbox="none"),
        solver=f"predictions:{predictions}",
        workers=4,
    )


def test_a_node_is_killed_and_every_instance_is_graded_once(cluster: Any, tmp_path: Path) -> None:
    from reapair.agent.lab.evaluate.cluster import RayRunner

    count = int(os.environ.get("REAPAIR_RAY_INSTANCES", "200"))
    (tmp_path / "tasks").mkdir()
    todo = plan(tmp_path / "tasks", count)
    came: list[Record] = []
    killed: list[tuple[int, float]] = []
    runner = RayRunner(cluster.address)

    def note(_: object, record: Record | None) -> None:
        if record is None:
            return
        came.append(record)
        if len(came) == count * 2 // 5:
            # In the middle of its work, as by a power failure.
            cluster.remove_node(cluster.workers.pop(), allow_graceful=False)
            killed.append((len(came), time.monotonic()))

    begun = time.monotonic()
    threads = threading.active_count()
    progress = evaluate(todo, note, runner)
    seconds = time.monotonic() - begun
    assert killed
    assert Counter(record.instance_id for record in came).most_common(1)[0][1] == 1
    assert len(came) == count
    assert progress.counts == {"resolved": (count + 1) // 2, "unresolved": count // 2}
    stored = {record.instance_id: record for _, record in records(todo.out)}
    assert stored == {record.instance_id: record for record in came}
    totals = json.loads((todo.out / "report.json").read_text())
    assert (totals["total_instances"], totals["error_instances"]) == (count, 0)
    assert threading.active_count() <= threads + 5
    print(
        f"{count} instances, 2 nodes with one processor each, one killed after {killed[0][0]}: "
        f"{len(came)} graded, each once, {progress.counts['resolved']} resolved, "
        f"{seconds:.0f} s"
    )


def test_memory_stays_flat(cluster: Any, tmp_path: Path) -> None:
    """Jobs that do nothing but leave a megabyte each: nothing of them stays with us."""
    from reapair.agent.lab.evaluate.cluster import RayRunner

    def leave_a_megabyte(job: Job) -> Record:
        (job.place / "1.diff").write_bytes(os.urandom(1 << 20))
        record = Record(instance_id=job.instance.id)
        write_record(job.place, record)
        return record

    def jobs() -> Iterator[Job]:
        for number in range(600):
            instance = Instance(id=f"i.{number}", schema_name="swe-smith", problem_statement="")
            handed_out.append(number)
            yield Job(instance, place_of(tmp_path, instance.id), Settings())

    handed_out: list[int] = []
    sizes: list[int] = []
    for done, record in enumerate(RayRunner(cluster.address, leave_a_megabyte)(jobs(), 8), 1):
        assert not record.failure
        assert len(handed_out) - done < 8
        (place_of(tmp_path, record.instance_id) / "1.diff").unlink()
        if done in (100, 600):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            sizes.append(pages * os.sysconf("SC_PAGE_SIZE") >> 20)
    assert len(handed_out) == 600
    assert sizes[1] - sizes[0] < 60, sizes
    print(f"{sizes[0]} MB after 100 instances, {sizes[1]} MB after 600")


def test_an_address_without_a_cluster_is_named() -> None:
    require("Ray", find_spec("ray") is not None, "pip install 'reapair[ray]'")
    from reapair.agent.lab.evaluate.cluster import RayRunner

    with pytest.raises(InstanceError, match="no Ray cluster at"):
        RayRunner("127.0.0.1:1")
