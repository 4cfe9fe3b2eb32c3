"""A Harbor task is built, run and graded; the model sees neither its solution nor its tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from reapair.agent.lab.evaluate.harbor import with_image
from reapair.agent.lab.evaluate.instance_job import Job, run_job
from reapair.agent.lab.evaluate.instances import InstanceError, read_instances
from reapair.agent.lab.evaluate.state import make_state
from reapair.agent.settings.settings import Settings
from reapair.sandbox.containers.docker_engine import DockerEngine

pytestmark = [pytest.mark.docker, pytest.mark.engine]


def write_task(place: Path) -> Path:
    files = {
        "task.toml": "[verifier]\ntimeout_sec = 60.0\n",
        "instruction.md": "greet.sh must print hello, and does not.\n",
        "environment/Dockerfile": f"FROM {DockerEngine().base_image()}\nUSER 0:0\n"
        "RUN rm -rf /testbed\nWORKDIR /app\nCOPY greet.sh .\n",
        "environment/greet.sh": "#!/bin/sh\necho bye\n",
        "tests/test.sh": '[ "$(sh /app/greet.sh)" = hello ] && r=1 || r=0\n'
        "echo $r > /logs/verifier/reward.txt\n",
        "solution/solve.sh": "sed -i s/bye/hello/ greet.sh\n",
    }
    for name, text in files.items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return place


def test_a_task_is_solved_and_graded(tmp_path: Path) -> None:
    instance = next(read_instances(write_task(tmp_path / "greet")))
    settings = Settings(sandbox="docker")
    state = make_state(with_image(instance, "docker"), tmp_path / "state", kind="docker")
    assert sorted(file.name for file in state.iterdir()) == [".git", "greet.sh"]
    gold = run_job(Job(instance, tmp_path / "gold", settings, "gold", tries=1))
    assert gold.resolved, gold
    assert b"+echo hello" in (tmp_path / "gold/1.diff").read_bytes()
    wrong = b"--- a/greet.sh\n+++ b/greet.sh\n@@ -1,2 +1,2 @@\n #!/bin/sh\n-echo bye\n+echo by\n"
    record = run_job(Job(instance, tmp_path / "x", settings, "predictions", wrong, tries=1))
    assert (record.graded, record.resolved) == (True, False)


def test_a_task_without_an_image_is_named(tmp_path: Path) -> None:
    place = write_task(tmp_path / "greet")
    (place / "environment/Dockerfile").unlink()
    with pytest.raises(InstanceError, match="has no Dockerfile"):
        with_image(next(read_instances(place)), "docker")
