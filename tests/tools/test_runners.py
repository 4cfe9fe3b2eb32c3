from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reapair.sandbox.base import ExecResult, Sandbox
from reapair.tools import TestReport, TestRunner
from reapair.tools.testing.runners import Finished, Request, Tree, choose, found
from reapair.tools.testing.runners.junit import HostileXMLError, cases, outcome_of
from reapair.tools.testing.runners.tap import tap_outcome
from reapair.tools.testing.test_outcomes import SuiteOutcome, disagreement
from support.runner_samples import SAMPLES, Sample
from support.workspaces import fill

RECORDED = Path(__file__).parent / "recorded"
FOLDER = "/tmp/tests.recorded"


def tree(files: dict[str, str]) -> Tree:
    return Tree("", frozenset(name.partition("/")[0] for name in files), files)


def replayed(name: str) -> tuple[Sample, Finished]:
    sample = SAMPLES[name]
    kept = json.loads((RECORDED / f"{name}.json").read_text())
    result = ExecResult(kept["exit_code"], b"", b"")
    request = Request(sample.command, "", FOLDER, tree(sample.files))
    report = "".join(f"{line}\n" for line in kept["report"]).encode()
    return sample, Finished(request, report, "\n".join(kept["output"]), result)


def check_failures(sample: Sample, failures: dict[str, str]) -> None:
    for test, words in sample.failures.items():
        assert words in failures[test], failures[test]
    assert failures.keys() == {t for t, s in sample.statuses.items() if s in ("failed", "error")}


@pytest.mark.parametrize("name", SAMPLES)
def test_what_a_real_runner_left_behind_is_read(name: str) -> None:
    sample, ended = replayed(name)
    runner = choose(sample.command, ended.request.tree)
    outcome = runner.outcome(ended)
    assert outcome is not None
    assert outcome.statuses == sample.statuses
    check_failures(sample, outcome.failures)
    assert disagreement(outcome, ended.result, sample.command, ended.output) == ""
    assert choose(found(ended.request.tree), ended.request.tree).name == runner.name


def live(name: str, box: Sandbox, selector: str = "all", seconds: float = 120) -> TestReport:
    sample = SAMPLES[name]
    if shutil.which(sample.needs) is None:
        pytest.skip(f"{sample.needs} is not installed")
    fill(box, sample.files)
    command = sample.command
    if name == "cargo":  # rustup finds its toolchain below the user's home
        command = f"export HOME={Path.home()}; {command}"
    return TestRunner(command).run(box, selector, seconds)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["node", "go", "cargo"])
def test_a_real_runner_is_read(name: str, empty: Sandbox) -> None:
    report = live(name, empty)
    assert report.statuses == SAMPLES[name].statuses
    check_failures(SAMPLES[name], report.failures)
    assert (report.inconsistent, report.timed_out) == ("", False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "selector", "statuses"),
    [
        (
            "node",
            "test/a.test.js::add > zero (a.b)",
            {"test/a.test.js::add > zero (a.b)": "passed"},
        ),
        ("node", "test/broken.test.js", {"test/broken.test.js": "error"}),
        ("go", ".::TestBad/zero", {".::TestBad/zero": "passed"}),
        ("go", "sub", {"sub::TestPanic": "failed"}),
        (
            "cargo",
            "tests/it.rs",
            {"tests/it.rs::fine": "passed", "tests/it.rs::outside": "failed"},
        ),
        ("cargo", "src/lib.rs::tests::ok", {"src/lib.rs::tests::ok": "passed"}),
    ],
)
def test_a_selector_of_a_real_runner(
    name: str, selector: str, statuses: dict[str, str], empty: Sandbox
) -> None:
    assert live(name, empty, selector).statuses == statuses


@pytest.mark.slow
def test_a_hanging_javascript_test_is_named(empty: Sandbox) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    fill(
        empty,
        {
            "package.json": '{"scripts": {"test": "node --test"}}',
            "h.test.js": "const { test } = require('node:test');\ntest('fine', () => {});\n"
            "test('hangs', () => new Promise(() => setInterval(() => {}, 1000)));\n",
        },
    )
    report = TestRunner().run(empty, "all", 6)
    assert (report.timed_out, report.hanging) == (True, "h.test.js::hangs")
    assert report.statuses == {"h.test.js::fine": "passed", "h.test.js::hangs": "failed"}


def rewritten(command: str, selector: str = "", **files: str) -> str:
    inside = tree({name.replace("_json", ".json"): text for name, text in files.items()})
    return choose(command, inside).command(Request(command, selector, FOLDER, inside))


def scripts(**texts: str) -> str:
    return json.dumps({"scripts": texts})


@pytest.mark.parametrize(
    ("script", "call"),
    [
        ("jest", "jest --ci "),
        ("NODE_ENV=test jest --bail --silent --coverage", "NODE_ENV=test jest --coverage --ci "),
        ("tsc -p . && jest --reporters=x src; echo done", "tsc -p . && jest src --ci "),
        ("node --experimental-vm-modules node_modules/jest/bin/jest.js -b", "bin/jest.js --ci "),
        ("react-scripts test", "react-scripts test --ci "),
        ("vitest run --reporter dot", "vitest run --run "),
        ("vitest", "vitest --run "),
        ("nyc mocha -R dot 'test/**/*.js'", "nyc mocha 'test/**/*.js' --no-bail "),
        ("c8 node --test --test-reporter spec test/", "c8 node --test-reporter="),
    ],
)
def test_scripts_get_our_reporter(script: str, call: str) -> None:
    command = rewritten("CI=1 npm test", package_json=scripts(test=script))
    assert call in command
    assert f"{FOLDER}/" in command


def test_scripts_are_followed_as_npm_does() -> None:
    package = scripts(test="npm run -s unit -- --ci", unit="yarn jest:all", pretest="make build")
    package = package.replace('"pretest"', '"jest:all": "jest --runInBand", "pretest"')
    command = rewritten("cd ./web || exit; CI=1 npm test", package_json=package)
    assert command.startswith("cd ./web || exit; export PATH=")
    assert "export CI=1; make build && jest --runInBand --ci --ci " in command


@pytest.mark.parametrize("script", ["ava", "karma start", "eslint jest/", "node test.js"])
def test_other_scripts_are_run_as_they_are(script: str) -> None:
    assert rewritten("npm test", package_json=scripts(test=script)) == "npm test"


@pytest.mark.parametrize(
    ("text", "names"), [("[1]", {}), ("{", {}), ('{"scripts": {"test": 5}}', {}), ("[" * 9999, {})]
)
def test_a_hostile_package_is_none(text: str, names: dict[str, str]) -> None:
    assert tree({"package.json": text}).scripts == names


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"pyproject.toml": "", "package.json": scripts(test="jest")}, "python -m pytest"),
        ({"package.json": scripts(test="jest")}, "CI=1 npm test"),
        ({"package.json": scripts(test='echo "no test specified"')}, "python -m pytest"),
        ({"go.mod": ""}, "go test ./..."),
        ({"Cargo.toml": "", "Makefile": "test:\n"}, "cargo test --offline"),
        ({"build.gradle.kts": ""}, "gradle --no-daemon --offline test"),
        ({"Makefile": "all:\ncheck: all\n\ttrue\n"}, "make check"),
        ({"Makefile": "test := 1\n"}, "python -m pytest"),
        ({}, "python -m pytest"),
    ],
)
def test_the_runner_is_found(files: dict[str, str], command: str) -> None:
    assert found(tree(files)) == command


@pytest.mark.parametrize(
    ("command", "selector", "words"),
    [
        ("go test -v -failfast ./...", "pkg/a_test.go", "go test -json -count=1 -v './pkg'"),
        ("go test ./...", "TestX", "-run '^TestX$' ./..."),
        ("go test ./...", "pkg::TestX/a.b", "-run '^TestX$/^a\\.b$' './pkg'"),
        ("cargo test --offline", "src/a/b.rs", "--no-fail-fast a::b --offline"),
        ("mvn -B -o test", "src/test/java/org/acme/ATest.java", "-Dtest=org.acme.ATest"),
        ("mvn -B -o test", "org.acme.ATest::b", "-Dtest='org.acme.ATest#b'"),
        ("gradle --offline test", "org.acme.ATest::b", "test --continue --tests org.acme.ATest.b"),
        ("sh ./mvnw -B -o test", "", "sh ./mvnw -B -o test --fail-at-end"),
    ],
)
def test_selectors_are_spelt_for_the_runner(command: str, selector: str, words: str) -> None:
    assert words in rewritten(command, selector)


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9))
    + b"]><testsuite><testcase name='x'><failure>&j;</failure></testcase></testsuite>"
)
OUTSIDE = (
    b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    b"<testsuite><testcase name='x'><failure>&a;</failure></testcase></testsuite>"
)


@pytest.mark.parametrize("document", [BOMB, OUTSIDE])
def test_xml_with_entities_is_refused(document: bytes) -> None:
    with pytest.raises(HostileXMLError):
        cases(document)
    outcome = outcome_of([document, b"<a><testcase name='fine'/></a>"])
    assert outcome is not None
    assert outcome.statuses == {"fine": "passed"}
    assert "declares a document type" in outcome.inconsistent


def test_endless_xml_is_bounded() -> None:
    long = b"<a><testcase name='x'><failure>" + b"word\n" * 1_000_000 + b"</failure></testcase></a>"
    assert len(cases(long)[0].text) <= 64 * 1024
    with pytest.raises(ValueError, match="nested too deeply"):
        cases(b"<a>" * 100_000)


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode()))
@settings(max_examples=200)
def test_any_bytes_can_be_read_as_xml(document: bytes) -> None:
    for whole in (document, b"<a><testcase name='x'>" + document + b"</testcase></a>"):
        try:
            cases(whole)
        except ValueError:
            continue


LINES = st.sampled_from(
    [
        "TAP version 13",
        "1..3",
        "ok 1 - a",
        "not ok 2 b",
        "not ok - c # TODO later",
        "ok # skip",
        "    not ok 1 - inner",
        "  ---",
        "Bail out! broken",
        "ok",
        "okay",
        '{"Action":"fail","Package":"p","Test":"T"}',
        '{"Action":"run","Package":"p","Test":"T/x"}',
        '{"Action":5}',
        "FAIL\tp [build failed]",
        "test a ... ok",
        "test result: FAILED. 1 passed; 2 failed; 0 ignored",
        "     Running unittests src/lib.rs (target/debug/deps/a-0123456789abcdef)",
        "---- a stdout ----",
        "error: x",
        "\x00\ud800",
    ]
)


@given(st.lists(LINES | st.text(max_size=40), max_size=30).map("\n".join))
@settings(max_examples=200)
def test_any_output_can_be_read(output: str) -> None:
    for command in ("go test ./...", "cargo test", "mvn test", "npm test", "make"):
        request = Request(command, "", FOLDER, Tree())
        ended = Finished(
            request, output.encode("utf-8", "replace"), output, ExecResult(1, b"", b"")
        )
        outcome = choose(command, Tree()).outcome(ended)
        if outcome:
            assert outcome.failures.keys() <= outcome.statuses.keys()


def test_tap_is_understood(empty: Sandbox) -> None:
    fill(
        empty,
        {
            "Makefile": "test:\n\t@cat out.tap; exit 1\n",
            "out.tap": "TAP version 13\nok 1 - adds\nnot ok 2 - subtracts\n  ---\n  got: 3\n  ...\n"
            "    ok 1 - inner\nok 3 - net # SKIP no network\nnot ok 4 - soon # TODO\nok - adds\n"
            "1..5\n",
        },
    )
    if not empty.exec("command -v make").ok:
        pytest.skip("make is not installed")
    report = TestRunner().run(empty, "all", 60)
    assert report.command == "make test"
    assert report.statuses == {
        "adds": "passed",
        "adds (2)": "passed",
        "net": "skipped",
        "soon": "skipped",
        "subtracts": "failed",
    }
    assert "got: 3" in report.failures["subtracts"]
    assert report.inconsistent == ""
    broken = tap_outcome("1..3\nok 1 - a\n")
    assert broken is not None
    assert broken.inconsistent == "3 tests were planned, 1 ran"


@pytest.mark.parametrize(
    ("statuses", "code", "told", "words"),
    [
        ({"a": "passed"}, 0, None, ""),
        ({"a": "failed"}, 1, None, ""),
        ({"a": "failed"}, 0, None, "exit code 0, although 1 test did not pass"),
        ({"a": "passed"}, 1, None, "exit code 1, although no test failed"),
        ({"a": "passed"}, 0, {"passed": 1, "failed": 2}, "the log tells of 2 failures"),
        ({"a": "passed", "b": "passed"}, 0, {"passed": 1, "failed": 0}, "tells of 2 tests"),
    ],
)
def test_contradictions_are_told(
    statuses: dict[str, str], code: int, told: dict[str, int] | None, words: str
) -> None:
    outcome = SuiteOutcome(dict(statuses), told=told)  # type: ignore[arg-type]
    said = disagreement(outcome, ExecResult(code, b"", b""), "pytest", "")
    assert said.startswith(words) if not words else words in said
    assert bool(said) == bool(words)


FORGE = """import glob, json, tempfile

def test_real():
    assert True

def test_forge():
    for path in glob.glob(tempfile.gettempdir() + "/tests.*/report"):
        with open(path, "a") as stream:
            for when in ("call", "teardown"):
                entry = {"kind": "report", "id": "test_f.py::test_forged", "when": when}
                stream.write(json.dumps({**entry, "outcome": "passed"}) + "\\n")
"""


@pytest.mark.slow
def test_a_test_that_writes_into_the_report_is_found_out(empty: Sandbox) -> None:
    fill(empty, {"test_f.py": FORGE})
    report = TestRunner("PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest").run(empty, "all", 60)
    assert report.inconsistent == "the report tells of 3 tests that passed, the log of 2"


@pytest.mark.slow
def test_an_exit_code_turned_by_conftest_is_found_out(empty: Sandbox) -> None:
    turned = "def pytest_sessionfinish(session):\n    session.exitstatus = 0\n"
    fill(empty, {"conftest.py": turned, "test_a.py": "def test_a():\n    assert 0\n"})
    report = TestRunner("PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest").run(empty, "all", 60)
    assert report.statuses == {"test_a.py::test_a": "failed"}
    assert report.inconsistent == "exit code 0, although 1 test did not pass"
