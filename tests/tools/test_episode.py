"""What the model reads in an ordinary run, word for word, in every kind of sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from conftest import require

from reapair.prompts import render
from reapair.sandbox import SandboxError, choose
from reapair.sandbox.base import Kind, Sandbox
from reapair.sandbox.environment import PYTEST_SETUP
from reapair.tools import Toolbox, standard_tools
from support.workspaces import SLUG, diff, fill

from .conftest import RUNNER

pytestmark = pytest.mark.slow

SCHEMA_BYTES = 4_500

EPISODE = [
    (
        {"name": "search", "pattern": r"def slugify"},
        "1 match for 'def slugify' in 1 file\n"
        "slug/core.py (1 match)\n"
        "    4\tdef slugify(text, separator='-'):",
    ),
    (
        {"name": "read", "path": "slug/core.py"},
        "slug/core.py (lines 1-7 of 7)\n"
        "    1\timport re\n"
        "    2\t\n"
        "    3\t\n"
        "    4\tdef slugify(text, separator='-'):\n"
        '    5\t    """Return text in lower case, words joined by the separator."""\n'
        "    6\t    words = re.split(r'[^a-z0-9]', text.lower())\n"
        "    7\t    return separator.join(words)",
    ),
    (
        {"name": "run_tests", "selector": "tests/test_core.py"},
        "FAILED tests/test_core.py::test_dots\n"
        "tests/test_core.py:10: in test_dots\n"
        '    assert slugify("a..b") == "a-b"\n'
        "E   AssertionError: assert 'a--b' == 'a-b'\n"
        "E\n"
        "E     - a-b\n"
        "E     + a--b\n"
        "E     ?   +\n"
        "Captured stdout call:\n"
        "looking\n\n"
        "tests/test_core.py: 1 failed, 1 passed\n\n"
        "Against the untouched repository: 1 failing as before (tests/test_core.py::test_dots)",
    ),
    (
        {
            "name": "edit",
            "path": "slug/core.py",
            "old_str": "re.split(r'[^a-z0-9]', ",
            "new_str": "re.split(r'[^a-z0-9]+', ",
        },
        "Edited slug/core.py.\n"
        "Lines 3-7 are now:\n"
        "    3\t\n"
        "    4\tdef slugify(text, separator='-'):\n"
        '    5\t    """Return text in lower case, words joined by the separator."""\n'
        "    6\t    words = re.split(r'[^a-z0-9]+', text.lower())\n"
        "    7\t    return separator.join(words)",
    ),
    (
        {"name": "run_tests", "selector": "all"},
        "all: 2 passed\n\n"
        "Against the untouched repository: 1 newly passing (tests/test_core.py::test_dots)\n"
        "Against your last run: 1 newly passing (tests/test_core.py::test_dots)",
    ),
    (
        {"name": "bash", "command": "git status --short"},
        " M slug/core.py\n[exit code 0]",
    ),
    (
        {"name": "submit", "summary": "Runs of separators count as one."},
        "Not handed in yet. Review it:\n<diff>\n"
        "diff --git a/slug/core.py b/slug/core.py\n"
        "--- a/slug/core.py\n+++ b/slug/core.py\n"
        "@@ -3,5 +3,5 @@ import re\n \n def slugify(text, separator='-'):\n"
        '     """Return text in lower case, words joined by the separator."""\n'
        "-    words = re.split(r'[^a-z0-9]', text.lower())\n"
        "+    words = re.split(r'[^a-z0-9]+', text.lower())\n"
        "     return separator.join(words)\n</diff>\n"
        "Tests run on this change: all: 2 passed.\n"
        "If the change is right and complete, call submit again. Otherwise go on working.",
    ),
    ({"name": "submit", "summary": "Runs of separators count as one."}, "Handed in."),
]


@pytest.fixture(params=["docker", "bubblewrap", "none"])
def box(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    kind: Kind = request.param
    try:
        engine = choose(kind)
        # Only the plain image of a container has no pytest.
        setup = PYTEST_SETUP if kind == "docker" else None
        environment = engine.prepare(b"", setup, lambda _: None, print)
    except SandboxError as error:
        require(kind, False, str(error))
        raise
    with engine.sandbox(environment, "test") as sandbox:
        yield sandbox


@pytest.mark.engine
def test_an_ordinary_run(box: Sandbox) -> None:
    fill(box, SLUG)
    baseline = RUNNER.run(box, "all", 120)
    tools = Toolbox(standard_tools(RUNNER, lambda: baseline, diff), lambda: box)
    for call, text in EPISODE:
        arguments = dict(call)
        observation = tools.call(arguments.pop("name"), arguments)
        assert observation.text == text
        assert observation.ok
    assert observation.submitted == "Runs of separators count as one."


def test_the_schemas_are_small_flat_and_in_order() -> None:
    tools = Toolbox(standard_tools(RUNNER, lambda: None, diff), lambda: None)  # type: ignore[arg-type,return-value]
    assert len(json.dumps(tools.schemas)) <= SCHEMA_BYTES
    assert tools.names == ["read", "search", "symbols", "edit", "run_tests", "bash", "submit"]
    for tool in tools.schemas:
        parameters = tool["function"]["parameters"]
        names = list(parameters["properties"])
        assert parameters["required"] == names[: len(parameters["required"])] != []
        assert {entry["type"] for entry in parameters["properties"].values()} <= {
            "string",
            "integer",
        }


def test_the_first_request_is_small() -> None:
    tools = Toolbox(standard_tools(RUNNER, lambda: None, diff), lambda: None)  # type: ignore[arg-type,return-value]
    request = {
        "messages": [
            {"role": "system", "content": render("system", tools=tools.names)},
            {
                "role": "user",
                "content": render(
                    "issue",
                    workspace="/testbed",
                    issue="x" * 1_000,
                    test_command="python -m pytest",
                    repository_map="",
                ),
            },
        ],
        "tools": tools.schemas,
    }
    assert len(json.dumps(request)) <= 8_000
