"""Runs each sample with its real runner and keeps what came out, for machines without that runner.

Usage: python tests/tools/recorded/record.py [NAME=EXTRA ...], from the top of the repository, with
the runners installed. EXTRA is put before a command: `maven='export MAVEN_OPTS=...;'`. Packages for
JavaScript are taken from the folder that `NODE_MODULES` names.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from reapair.sandbox.host.no_sandbox import NoSandbox  # noqa: E402
from reapair.tools import testing  # noqa: E402
from reapair.tools.testing.runners import Finished  # noqa: E402
from support.runner_samples import SAMPLES  # noqa: E402
from support.workspaces import fill  # noqa: E402


def told(text: str, folder: str) -> str:
    """Leave out what only tells of the machine."""
    for place, name in (
        (os.environ.get("NODE_MODULES", "/nowhere"), "/testbed/node_modules"),
        (str(Path.home()), "/home/agent"),
        (folder, "/tmp/tests.recorded"),
        (folder.rpartition("/")[2], "tests.recorded"),
    ):
        text = text.replace(place, name)
    return re.sub(r"<properties>.*?</properties>", "", text, flags=re.DOTALL)


def record(name: str, extra: str) -> None:
    sample = SAMPLES[name]
    kept: list[Finished] = []
    attempt = testing._attempt

    def keeping(*arguments: object) -> Finished:
        kept.append(attempt(*arguments))  # type: ignore[arg-type]
        return kept[-1]

    testing._attempt = keeping  # type: ignore[assignment]
    with NoSandbox("record") as box:
        fill(box, sample.files)
        if modules := os.environ.get("NODE_MODULES"):
            (box.root / "testbed/node_modules").symlink_to(modules)
        report = testing.TestRunner(extra + sample.command).run(box, "all", 300)
    testing._attempt = attempt
    ended = kept[-1]
    assert report.statuses == sample.statuses, report
    (HERE / f"{name}.json").write_text(
        json.dumps(
            {
                "exit_code": ended.result.exit_code,
                "report": told(ended.report.decode(), ended.request.folder).splitlines(),
                "output": told(ended.output, ended.request.folder).splitlines(),
            },
            indent=1,
        )
        + "\n"
    )
    print(name, report.counts)


if __name__ == "__main__":
    wanted = dict(word.partition("=")[::2] for word in sys.argv[1:]) or dict.fromkeys(SAMPLES, "")
    for chosen, before in wanted.items():
        record(chosen, before)
