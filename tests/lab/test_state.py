"""What the model sees of an instance holds nothing hidden: no test, no solution, no past."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from reapair.agent.lab.evaluate.instance_job import Job, run_job
from reapair.agent.lab.evaluate.instances import Instance, InstanceError, read_instances
from reapair.agent.lab.evaluate.state import make_state
from reapair.agent.settings.settings import Settings
from support.instances import BUG, FILES, FIX, HIDDEN, write_tasks
from support.tasks import commit

SECRETS = ("test_hidden", "/ len(values)", "test_one", "func_pm", "FAIL_TO_PASS")


def with_history(tmp_path: Path) -> Instance:
    """An instance whose archive holds a repository with the solution and the tests in its past."""
    instance = next(read_instances(write_tasks(tmp_path / "tasks")))
    source = tmp_path / "tasks/source/testbed"
    (source / "calc.py").write_text(FIX)
    (source / "tests/test_hidden.py").write_text(HIDDEN)
    commit(source)
    (source / "calc.py").write_text(BUG)
    (source / "tests/test_hidden.py").unlink()
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for arguments in (["commit", "-qam", "Bug Patch func_pm"], ["tag", "solution", "HEAD~1"]):
        subprocess.run(["git", *identity, *arguments], cwd=source, check=True)
    with tarfile.open(tmp_path / "tasks/repo.tar.gz", "w:gz") as archive:
        archive.add(source, "testbed")
    return instance


def test_an_archives_past_is_left_behind(tmp_path: Path) -> None:
    state = make_state(with_history(tmp_path), tmp_path / "state")

    def git(*arguments: str) -> str:
        call = ["git", *arguments]
        return subprocess.run(call, cwd=state, check=True, capture_output=True, text=True).stdout

    assert git("log", "--all", "--format=%s %an") == "Initial commit agent\n"
    assert git("status", "--porcelain") == ""
    everything = [git("for-each-ref"), git("reflog", "--all")]
    for line in git("cat-file", "--batch-all-objects", "--batch-check").splitlines():
        name, kind, _ = line.split()
        everything.append(git("cat-file", "-p" if kind == "tree" else kind, name))
    everything += [str(file) for file in state.rglob("*")]
    assert any("len(values) - 1" in text for text in everything)
    for secret in SECRETS:
        assert not any(secret in text for text in everything), secret
    assert (state / "tests/test_calc.py").read_text() == FILES["tests/test_calc.py"]


def test_a_state_is_the_same_each_time(tmp_path: Path) -> None:
    instance = next(read_instances(write_tasks(tmp_path / "tasks")))
    heads = [
        (make_state(instance, tmp_path / name) / ".git/refs/heads/main").read_text()
        for name in ("one", "two")
    ]
    assert heads[0] == heads[1]


@pytest.mark.slow
def test_the_log_of_a_run_holds_nothing_hidden(tmp_path: Path) -> None:
    instance = with_history(tmp_path)
    place = tmp_path / "place"
    record = run_job(Job(instance, place, Settings(sandbox="none"), "empty", tries=1))
    assert record.graded, record.failure
    events = next(place.glob("runs/*/events.jsonl")).read_text()
    assert "mean([2, 4]) gives 6" in events
    for secret in SECRETS:
        assert secret not in events, secret
    assert not list(place.glob("runs/*/store"))
    assert not (place / "work").exists()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(f"testbed/{name}")
    info.type, info.linkname, info.mode = kind, target, 0o6777
    return info


SYMLINK, HARD_LINK = tarfile.SYMTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize(
    "members",
    [
        [member("../outside")],
        [member("link", SYMLINK, "/tmp"), member("link/outside")],
        [member("link", SYMLINK, "../..")],
        [member("deep/up", SYMLINK, ".."), member("link", SYMLINK, "deep/up/../outside")],
        [member("here", SYMLINK, "."), member("here/outside")],
        [member("key", HARD_LINK, "testbed/../../outside")],
        [member("to", SYMLINK, "gone"), member("key", HARD_LINK, "testbed/to")],
        [member("pipe", tarfile.FIFOTYPE)],
        [member("device", tarfile.CHRTYPE)],
    ],
    ids=lambda members: members[-1].name + " " + members[-1].linkname,
)
def test_a_hostile_archive_gets_nowhere(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    instance = next(read_instances(write_tasks(tmp_path / "tasks")))
    with tarfile.open(tmp_path / "tasks/repo.tar.gz", "w:gz") as archive:
        for each in members:
            archive.addfile(each)
    with pytest.raises(InstanceError, match="can't be unpacked"):
        make_state(instance, tmp_path / "state" / "repository")
    assert not list(tmp_path.glob("**/outside"))
    assert not [file for file in tmp_path.rglob("*") if file.is_fifo() or file.is_char_device()]


def test_links_and_modes_of_an_archive_are_kept(tmp_path: Path) -> None:
    instance = next(read_instances(write_tasks(tmp_path / "tasks")))
    plain, secret = member("a/plain"), member("secret")
    plain.mode, secret.mode = 0o644, 0o600
    with tarfile.open(tmp_path / "tasks/repo.tar.gz", "w:gz") as archive:
        for each in (plain, secret, member("tool"), member("a/link", SYMLINK, "../a/plain"),
                     member("same", HARD_LINK, "testbed/a/plain")):  # fmt: skip
            archive.addfile(each)
    state = make_state(instance, tmp_path / "state")
    modes = {
        name: (state / name).lstat().st_mode & 0o7777 for name in ("a/plain", "secret", "tool")
    }
    assert modes == {"a/plain": 0o644, "secret": 0o600, "tool": 0o755}
    assert (state / "a/link").readlink() == Path("../a/plain")
    assert (state / "same").is_file()
    assert not (state / "same").is_symlink()


def test_what_can_not_be_had_is_named(tmp_path: Path) -> None:
    lost = Instance(id="a__b", schema_name="swe-bench", problem_statement="x", repo="a/b")
    with pytest.raises(InstanceError, match=r"no clone of a/b.*--repos"):
        make_state(lost, tmp_path / "state")
