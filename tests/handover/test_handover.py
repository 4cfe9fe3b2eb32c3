"""The hand-over: the user gets the change, and nothing else of theirs moves."""

from __future__ import annotations

import re
import resource
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reapair.agent.handover.git_handover import (
    SLUG_LIMIT,
    apply_to_work_tree,
    slugify,
    to_branch,
    write_patch,
)
from reapair.agent.handover.port import HandoverError
from support.repositories import VECTORS, git, make_repository, set_hooks, write

pytestmark = pytest.mark.slow

PATCH = (
    b"diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n"
    b"@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"
    b"diff --git a/lib/b.py b/lib/c.py\nsimilarity index 100%\nrename from lib/b.py\n"
    b"rename to lib/c.py\n"
    b"diff --git a/run.sh b/run.sh\nnew file mode 100755\n--- /dev/null\n+++ b/run.sh\n"
    b"@@ -0,0 +1 @@\n+#!/bin/sh\n"
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    write(home / ".gitconfig", "[user]\n\tname = Ada Lovelace\n\temail = ada@example.org\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return home


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository")


def show(repository: Path, *arguments: str) -> str:
    return git(repository, *arguments).decode().strip()


def state(repository: Path) -> dict[str, object]:
    """Return everything of the user's that a hand-over must leave alone, objects apart."""
    files = {
        str(file): (file.lstat().st_mtime_ns, file.read_bytes())
        for file in sorted(repository.rglob("*"))
        if stat.S_ISREG(file.lstat().st_mode) and "/.git/objects/" not in str(file)
    }
    words = {
        command: show(repository, "--no-optional-locks", *command.split())
        for command in ("status --porcelain=v2 --branch", "stash list", "for-each-ref", "reflog")
    }
    return {**words, **files}


def contents(repository: Path) -> dict[str, bytes]:
    """Return the bytes of every file but git's own."""
    files = (file for file in repository.rglob("*") if "/.git/" not in str(file))
    return {str(file): file.read_bytes() for file in files if file.is_file()}


def soil(repository: Path) -> None:
    """Leave work of every kind in a repository."""
    write(repository / "stashed.txt", "stashed\n")
    git(repository, "stash", "push", "-qu")
    git(repository, "branch", "kept")
    git(repository, "tag", "v1")
    write(repository / "staged.txt", "staged\n")
    git(repository, "add", "staged.txt")
    write(repository / "staged.txt", "and changed\n")
    write(repository / "lib/b.py", "b = 'mine'\n")
    write(repository / "untracked.txt", "untracked\n")


def test_a_branch_is_the_only_thing_that_is_new(repository: Path, tmp_path: Path) -> None:
    soil(repository)
    canary = tmp_path / "canary"
    set_hooks(repository, canary)
    before = state(repository)
    branch = to_branch(
        repository, PATCH, name="agent/fix-two", message="Fix two\n\nIt was wrong."
    ).name
    after = state(repository)
    new = {key for key in after if key not in before}
    assert branch == "agent/fix-two"
    assert new == {
        f"{repository}/.git/{place}/agent/fix-two" for place in ("refs/heads", "logs/refs/heads")
    }
    refs = set(str(after.pop("for-each-ref")).splitlines())
    assert refs - set(str(before.pop("for-each-ref")).splitlines()) == {
        f"{show(repository, 'rev-parse', branch)} commit\trefs/heads/{branch}"
    }
    assert {key: after[key] for key in before} == before
    assert not canary.exists()


def test_the_branch_holds_head_and_the_patch(repository: Path) -> None:
    soil(repository)
    branch = to_branch(repository, PATCH, name="agent/fix", message="Fix two\n\nIt was wrong.").name
    assert show(repository, "rev-parse", f"{branch}^") == show(repository, "rev-parse", "main")
    assert show(repository, "ls-tree", "-r", "--format=%(objectmode) %(path)", branch) == (
        "100644 a.txt\n100644 lib/c.py\n100755 run.sh"
    )
    assert show(repository, "show", f"{branch}:a.txt") == "one\n2\nthree"
    log = show(repository, "log", "-1", "--format=%an <%ae> %cn <%ce>%n%B", branch)
    assert log == (
        "Ada Lovelace <ada@example.org> Ada Lovelace <ada@example.org>\nFix two\n\nIt was wrong."
    )
    git(repository, "fsck", "--strict")


def test_a_given_author_and_a_neutral_one(repository: Path, home: Path) -> None:
    author = ("Bot", "bot@example.org")
    branch = to_branch(repository, PATCH, name="agent/x", message="m", author=author).name
    identities = ("log", "-1", "--format=%an %ae, %cn %ce")
    assert (
        show(repository, *identities, branch) == "Bot bot@example.org, Ada Lovelace ada@example.org"
    )
    (home / ".gitconfig").unlink()
    branch = to_branch(repository, PATCH, name="agent/x", message="m").name
    assert show(repository, *identities, branch) == "agent agent@localhost, agent agent@localhost"


def test_taken_names_get_numbers(repository: Path) -> None:
    git(repository, "branch", "agent/FIX")
    git(repository, "branch", "agent/fix-2/deeper")
    git(repository, "pack-refs", "--all")
    made = [to_branch(repository, PATCH, name="agent/fix", message="m").name for _ in range(2)]
    assert made == ["agent/fix-3", "agent/fix-4"]


def test_a_branch_in_the_way_is_explained(repository: Path) -> None:
    git(repository, "branch", "agent")
    with pytest.raises(HandoverError, match="named `agent` is in its way"):
        to_branch(repository, PATCH, name="agent/fix", message="m")


def test_an_empty_repository_gets_a_root_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "repository")
    repository = tmp_path / "repository"
    git(repository, "symbolic-ref", "HEAD", "refs/heads/agent/fix")
    patch = PATCH[PATCH.index(b"diff --git a/run.sh") :]
    branch = to_branch(repository, patch, name="agent/fix", message="m").name
    assert branch == "agent/fix-2"
    assert show(repository, "log", "--format=%P|%s", branch) == "|m"
    assert show(repository, "status", "--porcelain") == ""
    with pytest.raises(subprocess.CalledProcessError):
        git(repository, "rev-parse", "--verify", "HEAD")


@pytest.mark.parametrize("kind", ["worktree", "shallow", "detached"])
def test_repositories_of_every_kind(kind: str, repository: Path, tmp_path: Path) -> None:
    git(repository, "commit", "-qm", "second", "--allow-empty")
    place = tmp_path / "place"
    if kind == "worktree":
        git(repository, "worktree", "add", "-q", str(place))
    elif kind == "shallow":
        git(tmp_path, "clone", "-q", "--depth=1", f"file://{repository}", "place")
    else:
        git(tmp_path, "clone", "-q", str(repository), "place")
        git(place, "checkout", "-q", "--detach")
    branch = to_branch(place / "lib", PATCH, name="agent/fix", message="m").name
    assert show(place, "diff", "--name-status", "HEAD", branch).split() == (
        ["M", "a.txt", "R100", "lib/b.py", "lib/c.py", "A", "run.sh"]
    )
    assert show(place, "status", "--porcelain") == ""


def test_a_change_of_uncommitted_work_is_no_branch(repository: Path) -> None:
    write(repository / "a.txt", "uno\ntwo\nthree\n")
    before = state(repository)
    with pytest.raises(HandoverError, match=r"not committed.*--apply"):
        to_branch(repository, PATCH.replace(b" one", b" uno"), name="agent/fix", message="m")
    assert state(repository) == before


@pytest.mark.parametrize("vector", VECTORS)
def test_a_hostile_repository_runs_nothing(vector: str, tmp_path: Path) -> None:
    repository, canary = make_repository(tmp_path / "repository"), tmp_path / "canary"
    VECTORS[vector](repository, canary)
    canary.unlink(missing_ok=True)
    to_branch(repository, PATCH, name="agent/fix", message="m")
    apply_to_work_tree(repository, PATCH)
    assert not canary.exists()


@pytest.mark.parametrize(
    "path", ["../out", "/etc/out", ".git/config", ".GIT/hooks/pre-commit", "link/out"]
)
def test_a_patch_reaches_nothing_outside(path: str, repository: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (repository / "link").symlink_to(outside)
    git(repository, "add", "link")
    git(repository, "commit", "-qm", "link")
    patch = PATCH.replace(b"run.sh", path.encode())
    before = state(repository)
    with pytest.raises(HandoverError):
        to_branch(repository, patch, name="agent/fix", message="m")
    with pytest.raises(HandoverError):
        apply_to_work_tree(repository, patch)
    assert state(repository) == before
    assert list(outside.iterdir()) == []


def test_an_empty_patch_is_nothing(repository: Path) -> None:
    with pytest.raises(HandoverError, match="empty"):
        to_branch(repository, b"", name="agent/fix", message="m")


# --- into the work tree ----------------------------------------------------------------------


def test_the_work_tree_gets_the_change_and_keeps_the_users(repository: Path) -> None:
    write(repository / "a.txt", "one\ntwo\nthree\nmine\n")
    write(repository / "staged.txt", "staged\n")
    git(repository, "add", "staged.txt")
    index = (repository / ".git/index").read_bytes()
    apply_to_work_tree(repository, PATCH)
    assert (repository / "a.txt").read_text() == "one\n2\nthree\nmine\n"
    assert not (repository / "lib/b.py").exists()
    assert (repository / "lib/c.py").read_text() == "b = 1\n"
    assert (repository / "run.sh").stat().st_mode & 0o111
    assert (repository / ".git/index").read_bytes() == index


def test_the_same_lines_changed_since_are_a_conflict(repository: Path) -> None:
    write(repository / "a.txt", "one\nzwei\nthree\n")
    before = state(repository)
    with pytest.raises(HandoverError, match=r"a\.txt.*--patch"):
        apply_to_work_tree(repository, PATCH)
    assert state(repository) == before


def test_a_failure_half_way_is_undone(repository: Path) -> None:
    large = (
        b"diff --git a/z b/z\nnew file mode 100644\n--- /dev/null\n+++ b/z\n"
        b"@@ -0,0 +1,3000 @@\n" + b"+thirty characters make up a line\n" * 3000
    )
    before = contents(repository)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, limit[1]))
    try:
        with pytest.raises(HandoverError):
            apply_to_work_tree(repository, PATCH + large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert contents(repository) == before


def test_dos_line_ends_stay(repository: Path) -> None:
    git(repository, "config", "core.autocrlf", "true")
    write(repository / "a.txt", "one\r\ntwo\r\nthree\r\n")
    apply_to_work_tree(repository, PATCH)
    assert (repository / "a.txt").read_bytes() == b"one\r\n2\r\nthree\r\n"


# --- a file, and names -----------------------------------------------------------------------


def test_a_patch_file_replaces_a_link(tmp_path: Path) -> None:
    target = write(tmp_path / "target", "kept\n")
    (tmp_path / "x.diff").symlink_to(target)
    write_patch(tmp_path / "x.diff", PATCH)
    assert (tmp_path / "x.diff").read_bytes() == PATCH
    assert target.read_text() == "kept\n"
    with pytest.raises(HandoverError, match="No such file"):
        write_patch(tmp_path / "nowhere/x.diff", PATCH)


def test_slugs() -> None:
    assert slugify("Fix: `foo()` crashes — on é!") == "fix-foo-crashes-on-e"
    assert slugify("数据丢失") == slugify("") == "change"
    assert slugify("word " * 20) == "word-word-word-word-word-word-word-word"
    assert slugify("x" * 99) == "x" * SLUG_LIMIT


@given(st.text())
def test_a_slug_is_a_good_name(title: str) -> None:
    slug = slugify(title)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    assert len(slug) <= SLUG_LIMIT
    assert slugify(slug) == slug
