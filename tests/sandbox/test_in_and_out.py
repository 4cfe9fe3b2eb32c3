"""What else goes in beside the files, what stays out, and what a sandbox's repository can tell."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from reapair.sandbox.base import Sandbox
from reapair.sandbox.git import recent_history as history
from reapair.sandbox.git import staging as worktree
from reapair.sandbox.git.patch import Patch
from reapair.sandbox.git.snapshot import Snapshot
from reapair.sandbox.host.no_sandbox import NoSandbox
from support.repositories import git, make_repository, trap, write

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository")


@pytest.fixture
def local() -> Iterator[NoSandbox]:
    with NoSandbox("test") as sandbox:
        yield sandbox


def take(repository: Path, *include: str, history: bool = True) -> Snapshot:
    store = repository.parent / "store"
    return Snapshot.of_work_tree(repository, store, include=include, history=history)


def run(sandbox: Sandbox, script: str) -> str:
    result = sandbox.exec(script)
    assert result.ok, result
    return result.text


def commits(repository: Path, count: int) -> None:
    """Add commits quickly: each changes one file."""
    stream = [
        f"commit refs/heads/main\ncommitter Ada <ada@example.org> {1_500_000_000 + i} +0000\n"
        f"data 3\nc{i % 10}\n{'from refs/heads/main^0' if i == 0 else ''}\n"
        f"M 100644 inline log\ndata {len(str(i))}\n{i}\n"
        for i in range(count)
    ]
    git(repository, "fast-import", "--quiet", stdin="\n".join(stream).encode())
    git(repository, "reset", "-q", "--hard")


# --- the past --------------------------------------------------------------------------------


def test_log_blame_and_describe_work_in_the_sandbox(repository: Path, local: NoSandbox) -> None:
    git(repository, "tag", "v1.0")
    write(repository / "a.txt", "one\n2\nthree\n")
    git(repository, "commit", "-qam", "second")
    git(repository, "tag", "-a", "v1.1rc1", "-m", "candidate")
    git(repository, "branch", "secret-plan")
    snapshot = take(repository)
    snapshot.load(local)
    head = git(repository, "rev-parse", "HEAD").decode().strip()
    assert run(local, "git rev-parse HEAD").strip() == head == snapshot.base
    assert run(local, "git log --format=%s") == "second\nfirst\n"
    assert run(local, "git describe") == "v1.1rc1\n"
    assert run(local, "git describe --tags --abbrev=0 HEAD~1") == "v1.0\n"
    assert "Ada" in run(local, "git blame a.txt")
    assert (
        run(local, "git fsck --strict && git branch --format='%(refname)'") == "refs/heads/main\n"
    )
    assert run(local, "git status --porcelain") == ""
    assert snapshot.patch(local) == b""


def test_uncommitted_work_is_a_commit_of_its_own(repository: Path, local: NoSandbox) -> None:
    write(repository / "a.txt", "mine\n")
    snapshot = take(repository)
    snapshot.load(local)
    assert run(local, "git log --format='%an %s'") == "agent Uncommitted changes\nAda first\n"
    assert take(repository).base == snapshot.base
    local.write("a.txt", b"mine\nmore\n")
    assert b"\n mine\n+more\n" in snapshot.patch(local)


def test_history_is_cut_at_a_number_of_commits(
    repository: Path, local: NoSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "COMMITS", 20)
    commits(repository, 30)
    git(repository, "tag", "old", "HEAD~25")
    git(repository, "tag", "new", "HEAD~5")
    snapshot = take(repository)
    snapshot.load(local)
    assert run(local, "git rev-list --all --count") == "20\n"
    assert run(local, "git tag") == "new\n"
    assert run(local, "git describe --tags").startswith("new-5-g")
    run(local, "git fsck && git gc -q --prune=now && git log -p > /dev/null")


def test_history_is_cut_at_a_number_of_bytes(
    repository: Path, local: NoSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(repository / "big.bin", os.urandom(100_000))
    git(repository, "add", "big.bin")
    git(repository, "commit", "-qm", "big")
    git(repository, "rm", "-q", "big.bin")
    git(repository, "commit", "-qm", "small again")
    commits(repository, 6)
    monkeypatch.setattr(history, "COMMITS", 8)
    monkeypatch.setattr(history, "BYTES", 20_000)
    snapshot = take(repository)
    assert snapshot.pack.stat().st_size < 20_000
    snapshot.load(local)
    assert run(local, "git rev-list --all --count") == "2\n"


def test_merges_and_shallow_clones_have_a_past(
    repository: Path, tmp_path: Path, local: NoSandbox
) -> None:
    git(repository, "checkout", "-qb", "side")
    git(repository, "commit", "-qm", "side", "--allow-empty")
    git(repository, "tag", "v2")
    git(repository, "checkout", "-q", "main")
    git(repository, "commit", "-qm", "main", "--allow-empty")
    git(repository, "merge", "-q", "--no-ff", "-m", "merge", "side")
    take(repository).load(local)
    assert run(local, "git describe --tags").startswith("v2-2-g")
    git(tmp_path, "clone", "-q", "--depth=2", f"file://{repository}", "other/shallow")
    take(tmp_path / "other/shallow").load(local)
    assert run(local, "git rev-list --all --count && git fsck") == "3\n"


def test_nothing_else_of_the_repository_comes_along(
    repository: Path, tmp_path: Path, local: NoSandbox
) -> None:
    canary = tmp_path / "canary"
    trap(repository / ".git/hooks/post-checkout", canary)
    git(repository, "config", "remote.origin.url", "https://user:hunter2@example.org/x")
    git(repository, "config", "core.sshCommand", str(trap(tmp_path / "ssh", canary)))
    git(repository, "commit", "-qm", "regretted hunter2", "--allow-empty")
    git(repository, "reset", "-q", "--hard", "HEAD~1")
    git(repository, "update-ref", "refs/notes/commits", "HEAD")
    take(repository).load(local)
    assert run(local, "git remote; git reflog | wc -l; ls .git/hooks 2>/dev/null || :") == "1\n"
    assert run(local, "git for-each-ref --format='%(refname)'") == "refs/heads/main\n"
    assert "hunter2" not in run(local, "cat .git/config; git cat-file --batch-all-objects --batch")
    assert not canary.exists()


def test_without_history_there_is_one_root_commit(repository: Path, local: NoSandbox) -> None:
    git(repository, "commit", "-qm", "fix: the answer", "--allow-empty")
    git(repository, "tag", "v1")
    take(repository, history=False).load(local)
    assert run(local, "git log --all --format=%s; git tag") == "Initial commit\n"


# --- ignored files that are asked for --------------------------------------------------------


@pytest.fixture
def ignoring(tmp_path: Path) -> Path:
    """A repository that ignores much, with files there."""
    files = {".gitignore": "*.cfg\nbuild/\n.env\n", "a.txt": "one\n"}
    repository = make_repository(tmp_path / "repository", files)
    for name in ("local.cfg", "other.cfg", "build/deep/made.py", "build/x.o"):
        write(repository / name, f"{name}\n")
    write(repository / ".env", "PASSWORD=hunter2\n")
    return repository


def test_ignored_files_go_in_when_asked_for_and_never_come_out(
    ignoring: Path, local: NoSandbox
) -> None:
    write(ignoring / "build/run", "x\n", executable=True)
    snapshot = take(ignoring, "local.cfg", "/build/**", "!*.o")
    assert set(snapshot.included) == {b"local.cfg", b"build/deep/made.py", b"build/run"}
    assert not snapshot.dirty
    snapshot.load(local)
    assert local.read("local.cfg") == b"local.cfg\n"
    assert run(local, "test -x build/run; ls -A build; git status --porcelain") == "deep\nrun\n"
    run(local, "echo changed > local.cfg; rm build/run; echo 1 > a.txt")
    assert Patch(snapshot.patch(local)).paths == ["a.txt"]
    run(local, "echo > .gitignore; echo > build/new; git add -f local.cfg; git commit -qam x")
    assert Patch(snapshot.patch(local)).paths == [".gitignore", "a.txt", "build/new"]
    run(local, "rm -rf .git")
    assert Patch(snapshot.patch(local)).paths == [".gitignore", "a.txt", "build/new"]


def test_a_file_in_the_repository_can_ask_for_them(ignoring: Path, local: NoSandbox) -> None:
    write(ignoring / ".worktreeinclude", "# needed to run\n*.cfg\n.env\n")
    snapshot = take(ignoring, "!other.cfg")
    assert snapshot.included == (b"local.cfg",)
    assert snapshot.left_out == (".env (looks like a secret)",)
    snapshot.load(local)
    assert run(local, "cat local.cfg") == "local.cfg\n"
    again = Snapshot.open(snapshot.pack.parent, snapshot.name)
    assert (again.extras, again.included) == (snapshot.extras, snapshot.included)


def test_a_secret_goes_in_only_by_its_own_name(ignoring: Path, local: NoSandbox) -> None:
    write(ignoring / "prod.key", "hunter2\n")
    everything = take(ignoring, "*")
    assert b".env" not in everything.included
    assert {".env (looks like a secret)", "prod.key (looks like a secret)"} <= {
        *everything.left_out
    }
    named = take(ignoring, ".env", "/prod.key")
    assert set(named.included) == {b".env", b"prod.key"}
    assert named.left_out == ()
    named.load(local)
    assert local.read("prod.key") == b"hunter2\n"
    assert named.patch(local) == b""


def test_the_set_up_phase_does_not_see_them(ignoring: Path, local: NoSandbox) -> None:
    snapshot = take(ignoring, "local.cfg")
    snapshot.load(local, extras=False)
    assert run(local, "ls") == "a.txt\n"


def test_the_commit_is_proved_with_the_same_files_beside_it(
    ignoring: Path, local: NoSandbox
) -> None:
    write(ignoring / "a.txt", "two\n")
    snapshot = take(ignoring, "local.cfg")
    head = Snapshot.of_commit(ignoring, "HEAD", snapshot.pack.parent, beside=snapshot)
    head.load(local)
    assert run(local, "cat a.txt local.cfg") == "one\nlocal.cfg\n"


# --- files of every kind ---------------------------------------------------------------------


def test_a_submodule_is_said_to_stay_out(repository: Path) -> None:
    make_repository(repository / "sub")
    git(repository, "add", "sub")
    git(repository, "commit", "-qm", "sub")
    assert take(repository).left_out == ("sub/ (submodule)",)


@pytest.mark.parametrize("name", ["lfs", "git-crypt"])
def test_filtered_files_stay_as_the_repository_has_them(
    name: str, repository: Path, local: NoSandbox
) -> None:
    content = b"large or secret\n" * 9
    pointer = f"oid sha256:{hashlib.sha256(content).hexdigest()}\nsize {len(content)}\n"
    write(repository / ".gitattributes", f"*.bin filter={name} -text\n")
    write(repository / "data.bin", pointer)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "pointer")
    write(repository / "data.bin", content)  # what the filter makes of it on the way out
    write(repository / "new.bin", content)
    snapshot = take(repository)
    assert snapshot.left_out == (
        f"data.bin (needs the filter {name})",
        f"new.bin (needs the filter {name})",
    )
    snapshot.load(local)
    assert local.read("data.bin") == pointer.encode()
    assert snapshot.patch(local) == b""


def test_large_files_stay_out(
    repository: Path, local: NoSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worktree, "TRACKED_LIMIT", 1000)
    monkeypatch.setattr(worktree, "UNTRACKED_LIMIT", 500)
    write(repository / "tracked.bin", os.urandom(1000))
    write(repository / "small.bin", os.urandom(999))
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "large")
    write(repository / "untracked.bin", os.urandom(501))
    snapshot = take(repository)
    assert snapshot.left_out == ("tracked.bin (too large)", "untracked.bin (too large)")
    assert not snapshot.dirty
    snapshot.load(local)
    assert run(local, "ls *.bin; git log --format=%s") == "small.bin\nInitial commit\n"
    local.write("a.txt", b"new\n")
    patch = snapshot.patch(local)
    assert Patch(patch).paths == ["a.txt"]
    git(repository, "apply", "--check", stdin=patch)


def test_special_files_in_the_place_of_tracked_ones(repository: Path) -> None:
    (repository / "a.txt").unlink()
    os.mkfifo(repository / "a.txt")
    (repository / "lib/b.py").unlink()
    place = os.open(repository / "lib", os.O_DIRECTORY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{place}/b.py")  # its own path may be too long for a socket
    os.close(place)
    if os.geteuid() == 0:
        os.mknod(repository / "null", 0o20666, os.makedev(1, 3))
    snapshot = take(repository)
    assert snapshot.left_out == ("a.txt (no file)", "lib/b.py (no file)")
    assert snapshot.files == 0


def test_a_patch_tells_modes_names_bytes_and_line_ends(
    repository: Path, tmp_path: Path, local: NoSandbox
) -> None:
    write(repository / "dos.txt", "one\r\ntwo\r\n")
    write(repository / "old.py", "x = 1\n" * 30)
    write(repository / "gone", "")
    write(repository / ".gitignore", "*.tmp\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "more")
    git(tmp_path, "clone", "-q", str(repository), "pristine")
    snapshot = take(repository)
    snapshot.load(local)
    place = local.root / "testbed"
    write(place / "dos.txt", "one\r\n2\r\n")
    (place / "old.py").rename(place / "new.py")
    (place / "gone").unlink()
    (place / "a.txt").chmod(0o755)
    for name in (b"-rf", b"a\nb", b"\xff\xfe", b'q"\\', b"empty", b"deep/er/\xe9"):
        write(place / os.fsdecode(name), b"" if name == b"empty" else b"\0\xff\r\n")
    write(place / "x.tmp", "scratch")
    write(place / "__pycache__/x.pyc", "scratch")
    patch = snapshot.patch(local)
    assert b"rename from old.py\nrename to new.py\n" in patch
    pristine = tmp_path / "pristine"
    git(pristine, "apply", stdin=patch)
    for folder in (pristine, place):
        shutil.rmtree(folder / ".git")
    (place / "x.tmp").unlink()
    shutil.rmtree(place / "__pycache__")

    def contents(folder: Path) -> dict[bytes, tuple[bool, bytes]]:
        return {
            os.fsencode(file.relative_to(folder)): (os.access(file, os.X_OK), file.read_bytes())
            for file in folder.rglob("*")
            if file.is_file()
        }

    assert contents(pristine) == contents(place)


@pytest.mark.parametrize(
    "made",
    [
        "git init -q web && echo hi > web/app.txt",
        "git init -q web && echo hi > web/app.txt && git -C web add -A && {commit}",
        "git init -q web && echo hi > web/app.txt && git -C web add -A && {commit} && git add -A",
        "mkdir web && cd web && git init -q . && git init -q in && echo hi > app.txt"
        " && mkdir -p in/node && echo 1 > in/b.txt && echo 2 > in/node/c.txt",
    ],
    ids=["no commit", "committed", "added as a submodule", "one in another"],
)
@pytest.mark.parametrize("name", ["app", "w b", "w\u00f6*[b", "-web"])
def test_a_repository_made_by_the_run_is_taken_as_files(
    repository: Path, local: NoSandbox, made: str, name: str
) -> None:
    write(repository / ".gitignore", "*.log\n")
    git(repository, "add", ".gitignore")
    git(repository, "commit", "-qm", "ignore")
    snapshot = take(repository)
    snapshot.load(local)
    run(local, made.format(commit="git -C web -c user.name=x -c user.email=x@y commit -qm a"))
    run(local, f"echo node/ > web/.gitignore && echo l > web/x.log && mv web './{name}'")
    local.write("a.txt", b"changed\n")
    local.write("beside.txt", b"new\n")
    patch = snapshot.patch(local)
    paths = set(Patch(patch).paths)
    inner = {"in/b.txt"} if "in/b" in made else set()
    expected = {f"{name}/{each}" for each in {"app.txt", ".gitignore"} | inner}
    if "c.txt" in made:
        expected -= {f"{name}/in/node/c.txt"}
    assert paths == expected | {"a.txt", "beside.txt"}
    with NoSandbox("other") as other:
        snapshot.load(other)
        assert snapshot.apply(other, patch) is None
        assert other.read(f"{name}/app.txt") == b"hi\n"
        assert snapshot.patch(other) == patch


def test_a_linked_work_tree_is_not_taken(repository: Path, local: NoSandbox) -> None:
    snapshot = take(repository)
    snapshot.load(local)
    run(local, "git worktree add -q copy")
    assert snapshot.patch(local) == b""
