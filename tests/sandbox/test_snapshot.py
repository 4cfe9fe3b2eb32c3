"""The way in and out: real repositories, real git, real sandboxes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reapair.sandbox.base import Sandbox, SandboxError
from reapair.sandbox.git import snapshot as snapshot_module
from reapair.sandbox.git.patch import Patch
from reapair.sandbox.git.snapshot import Snapshot
from reapair.sandbox.host.no_sandbox import NoSandbox
from support.repositories import VECTORS, git, make_repository, write
from support.sandboxes import Make

pytestmark = pytest.mark.slow

ODD_NAMES = ("-rf", "a\nb", "a b\t'\"\\", "é\u200b", ".hidden", "*[?]", "#x", "!x", "deep/er/x ")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of our own, so that the machine's configuration changes nothing."""
    home = tmp_path / "home"
    write(home / ".gitconfig", "[user]\n\tname = Ada\n\temail = ada@example.org\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return home


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository")


@pytest.fixture
def local() -> Iterator[NoSandbox]:
    with NoSandbox("test") as sandbox:
        yield sandbox


def take(repository: Path) -> Snapshot:
    return Snapshot.of_work_tree(repository, repository.parent / "store")


def names(snapshot: Snapshot, repository: Path) -> set[str]:
    listing = git(
        repository, "--git-dir", str(snapshot.pack.parent), "ls-tree", "-rz", "--name-only",
        snapshot.tree,
    )  # fmt: skip
    return {os.fsdecode(name) for name in listing.split(b"\0") if name}


def run(sandbox: Sandbox, script: str) -> str:
    result = sandbox.exec(script)
    assert result.ok, result
    return result.text


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return mode, time of change and bytes of every file, git's own among them."""
    found = {}
    for file in sorted(folder.rglob("*")):
        status = file.lstat()
        if stat.S_ISREG(status.st_mode):
            found[str(file)] = (status.st_mode, status.st_mtime_ns, file.read_bytes())
    return found


def fill(repository: Path) -> None:
    """Leave everything in a work tree that a person can leave there."""
    write(repository / "a.txt", "changed\n")
    (repository / "lib/b.py").unlink()
    write(repository / "staged.txt", "staged\n")
    git(repository, "add", "staged.txt")
    write(repository / "staged.txt", "changed since\n")
    for name in ODD_NAMES:
        write(repository / name, f"{name}\n")
    write(repository / os.fsdecode(b"\xff\xfe"), b"\xff\0\r\n")
    write(repository / "empty", "")
    write(repository / "run.sh", "#!/bin/sh\n", executable=True)
    write(repository / "dos.txt", "one\r\ntwo\r\n")
    (repository / "link").symlink_to("lib/nowhere")
    write(repository / ".gitattributes", "docs export-ignore\n*.subst export-subst\n")
    write(repository / "docs/kept.md", "kept\n")
    write(repository / "a.subst", "$Format:%H$\n")


# --- what is taken ---------------------------------------------------------------------------


def test_the_work_tree_is_taken_as_it_is_on_disk(repository: Path, local: NoSandbox) -> None:
    fill(repository)
    snapshot = take(repository)
    assert snapshot.dirty
    assert snapshot.left_out == ()
    snapshot.load(local)
    shutil.rmtree(repository / ".git")
    shutil.rmtree(local.root / "testbed/.git")

    def contents(folder: Path) -> dict[bytes, tuple[bool, bytes]]:
        files = [file for file in folder.rglob("*") if file.is_symlink() or file.is_file()]
        return {
            os.fsencode(file.relative_to(folder)): (
                os.access(file, os.X_OK),
                os.fsencode(os.readlink(file)) if file.is_symlink() else file.read_bytes(),
            )
            for file in files
        }

    assert contents(local.root / "testbed") == contents(repository)
    assert snapshot.files == len(contents(repository))


def test_a_clean_tree_is_heads_tree(repository: Path) -> None:
    snapshot = take(repository)
    assert snapshot.tree == git(repository, "rev-parse", "HEAD^{tree}").decode().strip()
    assert snapshot.head == git(repository, "rev-parse", "HEAD").decode().strip()
    assert not snapshot.dirty
    assert snapshot.files == 2


def test_nothing_of_the_repository_is_written(repository: Path) -> None:
    fill(repository)
    before = state(repository)
    take(repository)
    Snapshot.of_commit(repository, "HEAD", repository.parent / "store")
    assert state(repository) == before


@pytest.mark.parametrize("vector", VECTORS)
def test_a_hostile_repository_runs_nothing_on_the_host(vector: str, tmp_path: Path) -> None:
    repository, canary = make_repository(tmp_path / "repository"), tmp_path / "canary"
    VECTORS[vector](repository, canary)
    write(repository / "a.txt", "changed\n")
    canary.unlink(missing_ok=True)
    snapshot = take(repository)
    with NoSandbox("test") as sandbox:
        snapshot.load(sandbox)
        assert sandbox.read("a.txt") == b"changed\n"
    Snapshot.of_commit(repository, "HEAD", tmp_path / "store")
    assert not canary.exists()


def test_the_vectors_bite_without_protection(tmp_path: Path) -> None:
    for number, vector in enumerate(VECTORS):
        repository, canary = make_repository(tmp_path / str(number)), tmp_path / f"canary{number}"
        VECTORS[vector](repository, canary)
        write(repository / "a.txt", "changed\n")
        canary.unlink(missing_ok=True)
        for command in (("status",), ("diff", "--ext-diff"), ("commit", "-qam", "x")):
            # A trap is no real filter or signer, so some of these fail once it has run.
            with contextlib.suppress(subprocess.CalledProcessError):
                git(repository, *command)
        assert canary.exists(), vector


@pytest.mark.parametrize(
    "secret",
    [
        *(".env", ".env.local", "prod.env", "conf/server.PEM", "tls.key", "id_rsa", "id_rsa.old"),
        *(".netrc", ".pypirc", ".npmrc", "credentials.json", ".aws/config", "infra/x.tfstate"),
    ],
)
def test_untracked_secrets_stay_out_and_are_named(repository: Path, secret: str) -> None:
    write(repository / secret, "hunter2\n")
    snapshot = take(repository)
    assert snapshot.left_out == (f"{secret} (looks like a secret)",)
    assert not snapshot.dirty


def test_examples_and_tracked_files_are_no_secrets(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository", {"tests/server.pem": "tracked\n"})
    for name in (".env.example", "sample.env", "config/.env.template", "secrets.py", "id_rsa.pub"):
        write(repository / name, "x\n")
    snapshot = take(repository)
    assert snapshot.left_out == ()
    assert snapshot.files == 6


def test_what_is_ignored_stays_out_whoever_ignores_it(repository: Path, home: Path) -> None:
    write(repository / ".gitignore", "*.log\n")
    write(repository / ".git/info/exclude", "mine/\n")
    write(home / ".config/git/ignore", "*.swp\n")
    write(home / "more", "*.bak\n")
    for name in ("x.log", "mine/x", "x.swp", "kept.txt"):
        write(repository / name, "x\n")
    assert names(take(repository), repository) == {"a.txt", "lib/b.py", ".gitignore", "kept.txt"}
    write(home / ".gitconfig", "[core]\n\texcludesFile = ~/more\n")
    write(repository / "x.bak", "x\n")
    assert "x.bak" not in names(take(repository), repository)


def test_a_clone_cannot_have_the_users_files_read(repository: Path, tmp_path: Path) -> None:
    secret = write(tmp_path / "secret", "hunter2\n")
    git(repository, "config", "core.excludesFile", str(secret))
    (repository / ".git/info").mkdir(exist_ok=True)
    (repository / ".git/info/exclude").unlink(missing_ok=True)
    (repository / ".git/info/exclude").symlink_to(secret)
    assert b"hunter2" not in take(repository).excludes


def test_conflicts_nested_repositories_and_special_files(repository: Path) -> None:
    git(repository, "checkout", "-qb", "other")
    write(repository / "a.txt", "theirs\n")
    git(repository, "commit", "-qam", "theirs")
    git(repository, "checkout", "-q", "main")
    write(repository / "a.txt", "ours\n")
    git(repository, "commit", "-qam", "ours")
    with pytest.raises(subprocess.CalledProcessError):
        git(repository, "merge", "other")
    make_repository(repository / "nested")
    os.mkfifo(repository / "pipe")
    write(repository / "git~1", "x\n")
    shutil.rmtree(repository / "lib")
    (repository / "lib").symlink_to("nested")
    snapshot = take(repository)
    assert names(snapshot, repository) == {"a.txt", "lib"}
    assert snapshot.left_out == (
        "git~1 (git refuses the name)",
        "nested/ (a repository of its own)",
    )


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "name",
    ["HEAD", "config", "packed-refs", "index", "shallow", "commondir", "refs/heads/x",
     "info/exclude", "info/attributes", "objects/info/alternates", "sharedindex.1"],
)  # fmt: skip
def test_a_pipe_in_the_git_directory_is_refused_at_once(repository: Path, name: str) -> None:
    pipe = repository / ".git" / name
    pipe.parent.mkdir(exist_ok=True)
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    begun = time.monotonic()
    with pytest.raises(SandboxError, match="is a pipe or a device"):
        take(repository)
    assert time.monotonic() - begun < 5


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["ignore", "attributes", "include", "linked worktree"])
def test_one_time_limit_holds_a_whole_snapshot(
    repository: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_module, "TAKING_SECONDS", 3.0)
    pipe = repository / ("pipe" if kind == "include" else f".git{kind}")
    if kind == "include":
        write(repository / ".git/config", f"[include]\n\tpath = {pipe}\n")
    if kind == "linked worktree":
        git(repository, "worktree", "add", "-q", "../linked")
        repository, pipe = repository.parent / "linked", repository / ".git/packed-refs"
    os.mkfifo(pipe)
    write(repository / "a.txt", "changed, so that attributes are read\n")
    begun = time.monotonic()
    with pytest.raises(SandboxError, match=r"did not end in time|is a pipe"):
        take(repository)
    assert time.monotonic() - begun < 8


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../x", ".git/hooks/pre-commit", "a/.GIT/x"]
)
def test_an_index_entry_outside_the_tree_is_named(repository: Path, path: str) -> None:
    stand_in = "o" * len(path)
    write(repository / stand_in, "x\n")
    git(repository, "add", stand_in)
    index = repository / ".git/index"
    content = index.read_bytes()[:-20].replace(stand_in.encode(), path.encode())
    index.write_bytes(content + hashlib.sha1(content).digest())
    with pytest.raises(
        SandboxError, match=f"names {re.escape(path)}, which is not in its work tree"
    ):
        take(repository)


def test_a_submodule_keeps_its_recorded_commit(repository: Path, local: NoSandbox) -> None:
    make_repository(repository / "sub")
    git(repository, "add", "sub")
    git(repository, "commit", "-qm", "sub")
    write(repository / "sub/a.txt", "changed\n")
    snapshot = take(repository)
    assert not snapshot.dirty
    snapshot.load(local)
    assert snapshot.patch(local) == b""


# --- repositories of every kind --------------------------------------------------------------


def test_a_repository_without_a_commit(tmp_path: Path, local: NoSandbox) -> None:
    git(tmp_path, "init", "-q", "repository")
    empty = take(tmp_path / "repository")
    assert (empty.head, empty.files, empty.dirty) == (None, 0, False)
    empty.load(local)
    assert run(local, "git log --format=%s") == "Initial commit\n"
    write(tmp_path / "repository/a.txt", "x\n")
    filled = take(tmp_path / "repository")
    assert (filled.head, filled.files, filled.dirty) == (None, 1, True)


def test_a_subdirectory_a_worktree_and_a_detached_head(repository: Path, tmp_path: Path) -> None:
    assert (
        Snapshot.of_work_tree(repository / "lib", tmp_path / "store").tree == take(repository).tree
    )
    git(repository, "worktree", "add", "-q", str(tmp_path / "linked"), "-b", "side")
    write(tmp_path / "linked/a.txt", "side\n")
    write(tmp_path / "linked/new.txt", "side\n")
    linked = Snapshot.of_work_tree(tmp_path / "linked", tmp_path / "store2")
    assert names(linked, repository) == {"a.txt", "lib/b.py", "new.txt"}
    git(repository, "checkout", "-q", "--detach")
    assert take(repository).head == git(repository, "rev-parse", "HEAD").decode().strip()


def test_borrowed_objects_and_shallow_clones(repository: Path, tmp_path: Path) -> None:
    git(repository, "commit", "-qm", "second", "--allow-empty")
    git(tmp_path, "clone", "-q", "--shared", str(repository), "second")
    git(tmp_path, "clone", "-q", "--shared", "second", "third")
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repository}", "shallow")
    for clone in ("third", "shallow"):
        assert not Snapshot.of_work_tree(tmp_path / clone, tmp_path / f"{clone}.git").dirty


def test_a_sparse_checkout_is_whole_in_the_sandbox(repository: Path, local: NoSandbox) -> None:
    git(repository, "sparse-checkout", "set", "--cone", "nothing")
    assert not (repository / "lib").exists()
    snapshot = take(repository)
    assert not snapshot.dirty
    snapshot.load(local)
    assert local.read("lib/b.py") == b"b = 1\n"


def test_sha256_repositories(tmp_path: Path, local: NoSandbox) -> None:
    git(tmp_path, "init", "-q", "--object-format=sha256", "repository")
    write(tmp_path / "repository/a.txt", "one\n")
    snapshot = take(tmp_path / "repository")
    snapshot.load(local)
    local.write("a.txt", b"two\n")
    assert Patch(snapshot.patch(local)).paths == ["a.txt"]


def test_line_ends_are_the_work_trees(repository: Path, local: NoSandbox) -> None:
    git(repository, "config", "core.autocrlf", "true")
    write(repository / "a.txt", "one\r\ntwo\r\nthree\r\n")
    snapshot = take(repository)
    assert not snapshot.dirty
    snapshot.load(local)
    assert local.read("a.txt") == b"one\r\ntwo\r\nthree\r\n"
    local.write("a.txt", b"one\r\n2\r\nthree\r\n")
    assert b"\n-two\n+2\n" in snapshot.patch(local)


def test_no_repository_and_no_such_commit_are_explained(tmp_path: Path, repository: Path) -> None:
    with pytest.raises(SandboxError, match="not in a git repository"):
        Snapshot.of_work_tree(tmp_path / "home", tmp_path / "store")
    for revision in ("nowhere", "--output=x"):
        with pytest.raises(SandboxError, match="names no commit"):
            Snapshot.of_commit(repository, revision, tmp_path / "store")


# --- into the sandbox ------------------------------------------------------------------------


def test_a_commit_is_one_root_commit_in_every_sandbox(repository: Path, make: Make) -> None:
    write(repository / "a.txt", "newer\n")
    git(repository, "commit", "-qam", "second")
    snapshot = Snapshot.of_commit(repository, "HEAD~1", repository.parent / "store")
    with make() as sandbox:
        snapshot.load(sandbox)
        assert run(sandbox, "git rev-list --all").split() == [snapshot.base]
        assert sandbox.read("a.txt") == b"one\ntwo\nthree\n"
        assert run(sandbox, "git status --porcelain") == ""
        run(sandbox, "echo 1 > new && git add new && git commit -qm mine")
        assert Patch(snapshot.patch(sandbox)).paths == ["new"]
        run(sandbox, "chmod 0 .git new")
        assert Patch(snapshot.patch(sandbox)).paths == ["new"]


def test_the_root_commit_depends_on_the_files_alone(tmp_path: Path) -> None:
    one, two = (
        make_repository(tmp_path / "one/repository"),
        make_repository(tmp_path / "two/repository"),
    )
    git(two, "commit", "-qm", "more", "--allow-empty")
    assert take(one).base == take(two).base


def test_a_snapshot_outlives_its_repository(repository: Path, local: NoSandbox) -> None:
    fill(repository)
    taken = take(repository)
    shutil.rmtree(repository)
    again = Snapshot.open(repository.parent / "store", taken.name)
    assert (again.base, again.left_out, again.dirty) == (taken.base, taken.left_out, taken.dirty)
    again.load(local)
    assert again.patch(local) == b""


def test_by_products_stay_and_are_ignored(repository: Path, local: NoSandbox) -> None:
    left = {name: name for name in ODD_NAMES} | {"lib/made.so": "", "x.egg-info/PKG-INFO": ""}
    for name, text in left.items():
        local.write(name, text.encode())
    local.write("a.txt", b"older\n")
    local.write("lib/b.py/in the way", b"")
    snapshot = take(repository)
    snapshot.load(local)
    for name, text in left.items():
        assert local.read(name) == text.encode()
    assert local.read("a.txt") == b"one\ntwo\nthree\n"
    assert local.read("lib/b.py") == b"b = 1\n"
    assert run(local, "git status --porcelain") == ""
    local.write("lib/new.py", b"")
    assert Patch(snapshot.patch(local)).paths == ["lib/new.py"]
    run(local, "rm -rf .git")
    assert Patch(snapshot.patch(local)).paths == ["lib/new.py"]


def test_sources_of_an_earlier_repository_go(repository: Path, local: NoSandbox) -> None:
    run(local, "git init -q && echo leak > solution.py && git add -A && echo 1 > made.o")
    take(repository).load(local)
    assert run(local, "ls") == "a.txt\nlib\nmade.o\n"
    assert run(local, "git log --oneline | wc -l").strip() == "1"


def test_a_link_in_the_place_of_a_directory_is_not_followed(
    repository: Path, local: NoSandbox
) -> None:
    run(local, "mkdir elsewhere && ln -s elsewhere lib")
    take(repository).load(local)
    assert run(local, "ls elsewhere; test -L lib || echo directory") == "directory\n"


# --- out of the sandbox ----------------------------------------------------------------------

TRICKS = {
    "committed": "git add -A && git commit -qm x",
    "staged": "git add -A",
    "switched": "git checkout -q --orphan other && git commit -qm x && git branch -D main",
    "detached and collected": "git checkout -q --orphan o && git add -A && git commit -qm x"
    " && git branch -D main && git reflog expire --expire=now --all && git gc -q --prune=now",
    "broken index": "echo x > .git/index",
    "removed index": "rm .git/index",
    "removed .git": "rm -rf .git",
    "new .git": "rm -rf .git && git init -q",
    ".git is a link": "mv .git /tmp/git && ln -s /tmp/git .git",
    ".git is a file": "rm -rf .git && echo gitdir: /nowhere > .git",
    "broken snapshot": "echo x > .git/snapshot/index; echo x > .git/snapshot/config",
    "locked": "touch .git/index.lock .git/snapshot/index.lock",
    "lost objects": "rm -rf .git/objects",
    "configuration": "git config core.fsmonitor 'touch /tmp/ran #'"
    " && git config diff.external false && git config diff.noprefix true"
    " && git config color.ui always"
    " && git config core.excludesFile /testbed/everything && echo '*' > .git/info/exclude"
    " && echo '* -diff' > .git/info/attributes && mkdir -p ~/.config/git"
    " && echo '*' > ~/.config/git/ignore && git config --global diff.mnemonicPrefix true",
}


@pytest.mark.parametrize("trick", TRICKS)
def test_the_patch_is_the_same_whatever_happens_to_git(
    trick: str, repository: Path, local: NoSandbox
) -> None:
    edit = "echo new > new.txt; sed -i s/two/2/ a.txt; mv lib/b.py lib/c.py; chmod +x lib/c.py"
    snapshot = take(repository)
    snapshot.load(local)
    run(local, edit)
    expected = snapshot.patch(local)
    assert Patch(expected).paths == ["a.txt", "lib/b.py", "lib/c.py", "new.txt"]
    run(local, TRICKS[trick])
    assert snapshot.patch(local) == expected
    run(local, "! test -e /tmp/ran")


def test_a_patch_does_not_depend_on_earlier_patches(repository: Path, local: NoSandbox) -> None:
    snapshot = take(repository)
    snapshot.load(local)
    run(local, "echo 1 > scratch.tmp; echo 2 > a.txt")
    assert Patch(snapshot.patch(local)).paths == ["a.txt", "scratch.tmp"]
    run(local, "echo '*.tmp' > .gitignore; git checkout a.txt")
    assert Patch(snapshot.patch(local)).paths == [".gitignore"]


def test_ignored_files_count_when_the_model_adds_them(repository: Path, local: NoSandbox) -> None:
    write(repository / ".gitignore", "*.log\n")
    snapshot = take(repository)
    snapshot.load(local)
    run(local, "echo 1 > a.log; echo 2 > b.log; mkdir __pycache__; echo > __pycache__/x.pyc")
    run(local, "git add -f b.log; git commit -qm x")
    assert Patch(snapshot.patch(local)).paths == ["b.log"]


def test_hostile_attributes_do_not_keep_the_patch(repository: Path, local: NoSandbox) -> None:
    snapshot = take(repository)
    snapshot.load(local)
    local.write(".gitattributes", b"* filter=e diff=e working-tree-encoding=UTF-16\n")
    local.write("a.txt", b"odd")
    run(local, "git config filter.e.clean false; git config filter.e.required true")
    assert Patch(snapshot.patch(local)).paths == [".gitattributes", "a.txt"]


def test_pipes_repositories_and_links_in_the_way(repository: Path, local: NoSandbox) -> None:
    snapshot = take(repository)
    snapshot.load(local)
    run(local, "git init -q made; mkfifo pipe; rm a.txt; mkfifo a.txt; rm -r lib; ln -s /etc lib")
    patch = snapshot.patch(local)
    assert set(Patch(patch).paths) == {"a.txt", "lib", "lib/b.py"}
    assert {violation.rule for violation in Patch(patch).violations()} == {"link_escape"}


def test_a_moved_link_shows_where_it_points(tmp_path: Path, local: NoSandbox) -> None:
    repository = make_repository(tmp_path / "repository")
    (repository / "lib/deep").mkdir()
    (repository / "lib/deep/link").symlink_to("../../a.txt")
    snapshot = take(repository)
    snapshot.load(local)
    run(local, "mv lib/deep/link link")
    assert {violation.rule for violation in Patch(snapshot.patch(local)).violations()} == {
        "link_escape"
    }


def test_a_huge_change_is_refused(
    repository: Path, local: NoSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_module, "PATCH_LIMIT", 1024 * 1024)
    snapshot = take(repository)
    snapshot.load(local)
    run(local, "head -c 2000000 /dev/urandom > big")
    with pytest.raises(SandboxError, match="larger than 1 MB"):
        snapshot.patch(local)


def test_apply_is_all_or_nothing(repository: Path, local: NoSandbox) -> None:
    snapshot = take(repository)
    snapshot.load(local)
    run(local, "echo new > new; echo 9 > a.txt")
    patch = snapshot.patch(local)
    run(local, "rm new a.txt; git checkout -q .; rm -rf .git")
    assert snapshot.apply(local, patch) is None
    assert snapshot.patch(local) == patch
    run(local, "rm new")
    problem = snapshot.apply(local, patch)
    assert problem is not None
    assert "a.txt" in problem
    assert run(local, "ls") == "a.txt\nlib\n"
    assert snapshot.apply(local, b"") is None
    assert "evil" in str(snapshot.apply(local, patch.replace(b"b/new", b"b/../evil")))


def test_a_dead_sandbox_is_an_error(repository: Path, local: NoSandbox) -> None:
    snapshot = take(repository)
    snapshot.load(local)
    local.close()
    with pytest.raises(SandboxError):
        snapshot.patch(local)


# --- the round trip --------------------------------------------------------------------------

paths = st.sampled_from(
    ("a.txt", "lib/b.py", "lib/c.bin", "x", "x/y", "new dir/é", "-n", "a\nb", "lib", "link")
)
edits = st.lists(
    st.one_of(
        st.tuples(st.just("write"), paths, st.binary(max_size=40)),
        st.tuples(st.just("text"), paths, st.lists(st.sampled_from("abc"), max_size=30)),
        st.tuples(st.just("remove"), paths, st.none()),
        st.tuples(st.just("move"), paths, paths),
        st.tuples(st.just("mode"), paths, st.booleans()),
        st.tuples(st.just("link"), paths, st.sampled_from(("a.txt", "lib", "nowhere", "../x"))),
    ),
    max_size=8,
)


def edit(root: Path, action: str, path: str, extra: object) -> None:
    """Change one thing, where that is possible."""
    file = root / path
    try:
        if action in ("write", "text", "link"):
            file.parent.mkdir(parents=True, exist_ok=True)
        if action == "write":
            file.write_bytes(extra)  # type: ignore[arg-type]
        elif action == "text":
            file.write_text("".join(f"{word}\n" for word in extra))  # type: ignore[attr-defined]
        elif action == "remove" and file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        elif action == "remove":
            file.unlink()
        elif action == "move":
            file.rename(root / str(extra))
        elif action == "mode" and not file.is_symlink():
            file.chmod(0o755 if extra else 0o644)
        elif action == "link":
            file.symlink_to(str(extra))
    except OSError:
        return


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(edits)
def test_a_patch_applied_to_a_fresh_load_gives_the_same_tree(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[str, str, object]]
) -> None:
    folder = tmp_path_factory.mktemp("round")
    repository = make_repository(
        folder / "repository", {"a.txt": "abc\n" * 20, "lib/b.py": "b = 1\n", "lib/c.bin": "\0\1"}
    )
    (repository / "link").symlink_to("a.txt")
    snapshot = take(repository)
    with NoSandbox("test") as edited, NoSandbox("test") as fresh:
        snapshot.load(edited)
        snapshot.load(fresh)
        for step in edits:
            edit(edited.root / "testbed", *step)
        patch = snapshot.patch(edited)
        assert snapshot.apply(fresh, patch) is None
        assert snapshot.patch(fresh) == patch
        trees = [run(box, "git add -A -f . && git write-tree") for box in (edited, fresh)]
        assert trees[0] == trees[1]
        assert Patch(patch).violations() == [] or {
            found.rule for found in Patch(patch).violations()
        } == {"link_escape"}
