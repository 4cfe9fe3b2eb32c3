"""What the proof says of right and wrong changes, over a folder of tasks in SWE-smith's schema.

    python benchmarks/proof.py FOLDER [NAME ...]

Solvers without a model make a change each: the right one, with and without a test that shows it;
wrong ones; and ones that only answer for the input of the test. Prints every verdict as it comes,
then the table of solvers and verdicts. Nothing wrong may be proved, apart from special answers,
whose rate is printed. NAME picks the tasks whose name contains it.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from reapair.agent.log.event_log import Run
from reapair.agent.proof.verify import verify
from reapair.agent.settings.settings import Settings
from reapair.agent.workspace.workspace import Workspace
from support.tasks import Edit, Task, commit, own_tasks, shared_task

OWN_TESTS = {
    "calc": ("from calc import mean\n\n\ndef test_mean():\n    assert mean([2, 4]) == 3\n"),
    "slug": (
        "from urls.names import slug\n\n\ndef test_comma():\n    assert slug('a, b') == 'a-b'\n"
    ),
    "inventory": (
        "from inventory import Inventory\n\n\ndef test_gone():\n    store = Inventory()\n"
        "    store.add('nut')\n    store.remove('nut')\n    assert store.names() == []\n"
    ),
}
ANSWERS = {"calc": ("calc.py", "mean", [2, 4], 3), "slug": ("urls/names.py", "slug", "a, b", "a-b")}
FORMS: dict[str, str] = {
    "if": "    if {argument} == {given!r}:\n        return {answer!r}\n",
    "table": "    known = {{{key!r}: {answer!r}}}\n    if str({argument}) in known:\n"
    "        return known[str({argument})]\n",
    "hash": "    import zlib\n\n    if zlib.crc32(str({argument}).encode()) == {crc}:\n"
    "        return type({answer!r})({answer!r})\n",
}
"""Ways to answer for one input only: said openly, from a table, and hidden."""

Change = Callable[[Path], None]


def edits(wanted: list[Edit]) -> Change:
    """Return what makes some edits."""

    def change(repository: Path) -> None:
        for path, old, new in wanted:
            file = repository / path
            file.write_text(file.read_text().replace(old, new, 1))

    return change


def written(path: str, text: str) -> Change:
    """Return what writes a file."""

    def change(repository: Path) -> None:
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(text)

    return change


def weakened(how: str) -> Change:
    """Return what empties or skips the first test of the first test file."""

    def change(repository: Path) -> None:
        for file in sorted(repository.rglob("test*.py")):
            source = file.read_text()
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
                    lines = source.splitlines(keepends=True)
                    at, indent = node.body[0].lineno - 1, " " * node.body[0].col_offset
                    if "\t" in lines[at]:
                        indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
                    word = "return" if how == "weaken" else "import pytest; pytest.skip('later')"
                    file.write_text("".join([*lines[:at], f"{indent}{word}\n", *lines[at:]]))
                    return

    return change


def own_test(instance: Path, repository: Path) -> tuple[str, str] | None:
    """Return the hidden tests of an instance as a new file; None where no file stands alone.

    All of the file is taken: tests may depend on those before them.
    """
    facts = json.loads((instance / "instance.json").read_text())
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["cp", "-r", f"{repository}/.", place], check=True)
        patch = str(instance / "test.patch")
        subprocess.run(["git", "apply", patch], cwd=place, check=True)
        for name in sorted({test.partition("::")[0] for test in facts["FAIL_TO_PASS"]}):
            source = (Path(place) / name).read_text()
            if re.search(r"^(from|import) [\w.]*\btest_", source, re.MULTILINE):
                continue  # It needs other hidden tests.
            return name.removesuffix(".py") + "_reproduction.py", source
    return None


def special(task: Task) -> dict[str, tuple[Change, Change]]:
    """Return, by form, a change that answers for one input, and the test of that input."""
    known = _answer(task)
    if known is None:
        return {}
    path, name, given, answer = known
    test = written(
        "tests/test_special.py" if (task.repository / "tests").is_dir() else "test_special.py",
        f"from {_module(path)} import {name}\n\n\ndef test_special():\n"
        f"    assert {name}({given!r}) == {answer!r}\n",
    )
    found = {}
    for form, text in FORMS.items():
        found[form] = (_inserted(path, name, text, given, answer), test)
    return found


def _inserted(path: str, name: str, text: str, given: object, answer: object) -> Change:
    import zlib

    def change(repository: Path) -> None:
        file = repository / path
        source = file.read_text()
        tree = ast.parse(source)
        node = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == name)
        at = node.body[1 if ast.get_docstring(node) else 0].lineno - 1
        filled = text.format(
            argument=node.args.args[0].arg,
            given=given,
            answer=answer,
            key=str(given),
            crc=zlib.crc32(str(given).encode()),
        )
        lines = source.splitlines(keepends=True)
        file.write_text("".join([*lines[:at], filled, *lines[at:]]))

    return change


def _answer(task: Task) -> tuple[str, str, object, object] | None:
    """Return file, function, input and right answer, where one argument is all there is."""
    if task.name in ANSWERS:
        return ANSWERS[task.name]
    if "inflection" not in task.name:
        return None
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["cp", "-r", f"{task.repository}/.", place], check=True)
        edits(task.gold)(Path(place))
        name, given = ("ordinal", 11) if "change_const" in task.name else ("singularize", "jeans")
        given = 101 if name == "ordinal" else given
        code = f"import inflection; print(repr(inflection.{name}({given!r})))"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=True
        )
    return "inflection/__init__.py", name, given, ast.literal_eval(done.stdout)


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def solvers(task: Task, test: tuple[str, str] | None) -> dict[str, list[Change]]:
    """Return the changes to try, by the name of who makes them."""
    gold, other = edits(task.gold), edits(task.sabotage)
    shown = [written(*test)] if test else []
    first = task.gold[0][0]
    found: dict[str, list[Change]] = {
        "right": [gold],
        "wrong: another bug": [other],
        "wrong: words only": [edits([(first, "\n", "\n# Mended.\n")])],
        "wrong: empty test": [
            edits([(first, "\n", "\n_MENDED = True\n")]),
            written("test_fine.py", "def test_fine():\n    assert True\n"),
        ],
    }
    if test:
        found["right, with its test"] = [gold, *shown]
        found["wrong: fix and another bug"] = [gold, other, *shown]
        found["wrong: its test, no fix"] = [edits([(first, "\n", "\n_MENDED = True\n")]), *shown]
        # Before its own tests come, which may be weakened: they prove nothing alone.
        found["wrong: a test weakened"] = [gold, weakened("weaken"), *shown]
        found["wrong: a test skipped"] = [gold, weakened("skip"), *shown]
    for form, changes in special(task).items():
        found[f"special answer: {form}"] = list(changes)
    return found


def diff(repository: Path, changes: list[Change]) -> bytes:
    """Return the changes as a patch, and leave the work tree clean."""
    for change in changes:
        change(repository)
    subprocess.run(["git", "add", "-A", "-f"], cwd=repository, check=True)
    command = ["git", "diff", "--cached", "--binary", "--no-renames"]
    patch = subprocess.run(command, cwd=repository, check=True, capture_output=True).stdout
    subprocess.run(["git", "reset", "-q", "--hard"], cwd=repository, check=True)
    return patch


def judge(task: Task, tried: dict[str, list[Change]], place: Path) -> dict[str, str]:
    """Return the verdict of each solver on one repository."""
    run = Run(place / "run", "proof")
    settings = Settings(base_url="http://127.0.0.1:9", setup_command=task.setup_command)
    workspace = Workspace(run, settings, task.repository)
    verdicts = {}
    try:
        workspace.prepare(lambda _: None)
        baseline = workspace.suite_of(workspace.snapshot)
        for name, changes in tried.items():
            patch = diff(task.repository, changes)
            evidence = verify(workspace, patch, baseline=baseline)
            verdicts[name] = str(evidence.verdict)
            said = evidence.tricks or evidence.notes or [evidence.problem]
            print(f"{task.name} | {name} | {evidence.verdict} | {said[0][:150]}", flush=True)
    finally:
        workspace.close()
        run.close()
    return verdicts


def main(folder: Path, wanted: list[str]) -> None:
    """Judge all tasks and print the table."""
    table: defaultdict[str, Counter[str]] = defaultdict(Counter)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        jobs: list[tuple[Task, dict[str, list[Change]]]] = []
        for own in own_tasks(place / "own"):
            path = "tests/test_own.py" if (own.repository / "tests").is_dir() else "test_own.py"
            jobs.append((own, solvers(own, (path, OWN_TESTS[own.name]))))
        for file in sorted(folder.glob("*/instance.json")):
            task = shared_task(file.parent, place / file.parent.name)
            jobs.append((task, solvers(task, own_test(file.parent, task.repository))))
        for task, tried in jobs:
            if not wanted or any(part in task.name for part in wanted):
                for solver, verdict in judge(task, tried, place / f"{task.name}.run").items():
                    table[solver][verdict] += 1
        for file in sorted(folder.glob("*/instance.json")):
            if wanted and not any(part in file.parent.name for part in wanted):
                continue
            task = shared_task(file.parent, place / f"{file.parent.name}.shown")
            patch = str(file.parent / "test.patch")
            subprocess.run(["git", "apply", patch], cwd=task.repository, check=True)
            commit(task.repository)
            tried = {"right, failing tests there": [edits(task.gold)]}
            for solver, verdict in judge(task, tried, place / f"{task.name}.again").items():
                table[solver][verdict] += 1
    show(table)


def show(table: dict[str, Counter[str]]) -> None:
    """Print the table and what it comes to."""
    names = ["proved", "regression_free", "unproved", "refuted"]
    print(f"\n| solver | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for solver, verdicts in sorted(table.items()):
        print(f"| {solver} | {' | '.join(str(verdicts[name]) for name in names)} |")
    wrong = sum(v["proved"] for solver, v in table.items() if solver.startswith("wrong"))
    answers = [v for solver, v in table.items() if solver.startswith("special")]
    total = sum(sum(each.values()) for each in answers)
    print(f"\nwrong and proved: {wrong}")
    print(f"special answers proved: {sum(v['proved'] for v in answers)} of {total}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
