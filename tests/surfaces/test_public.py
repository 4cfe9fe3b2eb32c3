"""The public face: light to import, typed, and named in langgraph.json."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

import reapair

CONSUMER = """
from reapair import Agent, Event, Result, Settings, StepEnvironment, grade, solve, tool

result: Result = solve("x", ".", Settings(max_steps=3, keep=False))
verdict: str = result.verdict
patch: str = result.patch


async def main() -> Result:
    async with Agent(tools=[tool(len)]).stream("x") as stream:
        async for event in stream:
            kept: Event = event
        return await stream.result()


reward: float = StepEnvironment("x").reset().reward
wrong: int = result.verdict
grade(3, patch)
"""


def test_importing_it_is_light_and_every_name_is_there(tmp_path: Path) -> None:
    probe = (
        "import sys, logging, signal\nbefore = set(sys.modules)\nimport reapair\n"
        "assert len(set(sys.modules) - before) < 15, sorted(set(sys.modules) - before)\n"
        "for name in reapair.__all__: getattr(reapair, name)\n"
        "assert not logging.root.handlers\n"
        "assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL\n"
        "assert not {'tools', 'agent', 'sandbox', 'prompts'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", probe],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        reapair.nothing  # noqa: B018


def test_the_file_for_langgraphs_server_names_it() -> None:
    root = Path(reapair.__file__).parents[1]
    [place] = json.loads((root / "langgraph.json").read_text())["graphs"].values()
    path, _, name = place.partition(":")
    specification = spec_from_file_location("compose", root / path)
    assert specification
    assert specification.loader
    module = module_from_spec(specification)
    specification.loader.exec_module(module)
    assert set(getattr(module, name)().get_graph().nodes) >= {"solve"}


@pytest.mark.long
def test_a_consumers_types_are_checked(tmp_path: Path) -> None:
    (tmp_path / "consumer.py").write_text(CONSUMER)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "consumer.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line.rpartition("[")[2] for line in lines] == ["assignment]", "arg-type]"], done.stdout
