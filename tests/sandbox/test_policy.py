"""The policy, judged on patches that git made and on patches nobody should accept."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reapair.sandbox.git.patch import Patch
from reapair.sandbox.git.patch_parser import UNREADABLE, parse
from reapair.sandbox.git.patch_policy import SIZE_LIMIT, asks_for, trigger_of
from support.repositories import git, make_repository, write


def rules(patch: bytes, **options: bool) -> set[str]:
    return {violation.rule for violation in Patch(patch).violations(**options)}


def creation(path: str, content: str = "x", mode: str = "100644") -> bytes:
    return (
        f"diff --git a/{path} b/{path}\nnew file mode {mode}\nindex 0000000..1111111\n"
        f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{content}\n\\ No newline at end of file\n"
    ).encode()


def quoted_creation(path: str) -> bytes:
    return (
        f'diff --git "a/{path}" "b/{path}"\nnew file mode 100644\n'
        f'--- /dev/null\n+++ "b/{path}"\n@@ -0,0 +1 @@\n+x\n'
    ).encode()


def numstat(patch: bytes, folder: Path) -> list[bytes] | None:
    """Return the names git itself reads in a patch, None when it refuses the patch."""
    command = ["git", "apply", "--numstat", "-z", "-"]
    result = subprocess.run(command, input=patch, cwd=folder, capture_output=True, check=False)
    if result.returncode:
        return None
    return [line.split(b"\t", 2)[2] for line in result.stdout.split(b"\0") if line]


def test_a_plain_change_is_allowed() -> None:
    patch = (
        b"diff --git a/lib/b.py b/lib/b.py\nindex 1..2 100644\n--- a/lib/b.py\n+++ b/lib/b.py\n"
        b"@@ -1,2 +1,2 @@\n import os\n-b = 1\n+b = 2\n"
    )
    assert Patch(patch).violations() == []
    assert Patch(patch).paths == ["lib/b.py"]


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".GIT/hooks/pre-commit",
        "lib/.git",
        "git~1/config",
        "GIT~1/config",
        ".git /config",
        ".git./config",
        ".git::$INDEX_ALLOCATION/config",
        ".g\u200cit/config",
        "lib\\.git\\config",
    ],
)
def test_git_directories_in_any_spelling_are_refused(path: str) -> None:
    assert rules(creation(path)) == {"git_dir"}


@pytest.mark.parametrize(
    "path",
    ["../x", "lib/../../x", "/etc/passwd", "//etc/passwd", "lib\\..\\..\\x", "C:/x", ".. /x"],
)
def test_paths_out_of_the_tree_are_refused(path: str) -> None:
    assert "path_escape" in rules(creation(path))


def test_quoted_names_are_decoded_before_they_are_judged() -> None:
    assert rules(quoted_creation(r"\056git/config")) == {"git_dir"}
    assert rules(quoted_creation(r"lib/\056\056/\056\056/x")) == {"path_escape"}
    assert rules(quoted_creation(r".github/work\146lows/ci.yml")) == {"workflow"}
    assert Patch(quoted_creation(r"a\"b\\c\303\251\t.py")).paths == ['a"b\\cé\\t.py']


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../x", "lib/../../x", "..", "dir/../x", ".git/config", "C:\\x"]
)
def test_links_out_of_the_tree_are_refused(target: str) -> None:
    assert rules(creation("link", target, "120000")) == {"link_escape"}


def test_links_inside_the_tree_are_allowed() -> None:
    assert Patch(creation("deep/down/link", "../../lib/b.py", "120000")).violations() == []
    assert rules(creation("deep/down/link", "../../../lib/b.py", "120000")) == {"link_escape"}


def test_a_link_whose_target_is_not_shown_is_refused() -> None:
    header = b"diff --git a/l b/l\nnew file mode 120000\nindex 0000000..1111111\n"
    assert rules(header) == {"link_escape"}
    assert rules(header + b"GIT binary patch\nliteral 3\nKcmZ?\n\n") == {"link_escape"}
    assert rules(header.replace(b"mode 120000", b"mode  0120000")) == {"link_escape"}


@pytest.mark.parametrize(
    "trailer", ["rename to a/b/c/link", "+++ b/a/b/c/link", "deleted file mode 120000"]
)
def test_lines_behind_a_hunk_do_not_move_a_link(trailer: str) -> None:
    assert rules(creation("link", "../x", "120000") + trailer.encode() + b"\n") == {"link_escape"}


def test_removing_a_link_is_allowed() -> None:
    patch = b"diff --git a/l b/l\ndeleted file mode 120000\nindex 1..0\n--- a/l\n+++ /dev/null\n"
    patch += b"@@ -1 +0,0 @@\n-/etc/passwd\n\\ No newline at end of file\n"
    assert Patch(patch).violations() == []


def test_submodules_in_every_form_are_refused() -> None:
    assert rules(creation("sub", "Subproject commit 1234", "160000")) == {"gitlink"}
    moved = b"diff --git a/sub b/sub\nindex 1234567..89abcde 160000\n--- a/sub\n+++ b/sub\n"
    assert rules(moved + b"@@ -1 +1 @@\n-Subproject commit 1\n+Subproject commit 2\n") == {
        "gitlink"
    }


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        (".gitmodules", "gitmodules"),
        (".GitModules", "gitmodules"),
        ("gitmod~1", "gitmodules"),
        (".gitattributes", "gitattributes"),
        ("lib/.gitattributes", "gitattributes"),
        (".github/workflows/ci.yml", "workflow"),
        (".GitHub/Workflows/ci.yml", "workflow"),
        (".github/actions/x/action.yml", "workflow"),
        (".gitlab-ci.yml", "workflow"),
        ("./.github//workflows/ci.yml", "workflow"),
    ],
)
def test_files_with_power_are_named(path: str, rule: str) -> None:
    assert rules(creation(path)) == {rule}


def test_like_named_files_without_power_are_allowed() -> None:
    for path in (".gitignore", "docs/.github/workflows/x.yml", ".github/CODEOWNERS", "git/x.py"):
        assert Patch(creation(path)).violations() == [], path


@pytest.mark.parametrize(
    ("path", "tool"),
    [
        (".forgejo/workflows/a.yml", "Forgejo"),
        (".gitea/workflows/a.yml", "Gitea"),
        (".circleci/config.yml", "CircleCI"),
        ("ci/azure-pipelines-release.yaml", "Azure Pipelines"),
        ("deploy/Jenkinsfile.release", "Jenkins"),
        (".buildkite/pipeline.yml", "Buildkite"),
        (".drone.yml", "Drone"),
        (".woodpecker/a.yaml", "Woodpecker"),
        ("bitbucket-pipelines.yml", "Bitbucket"),
        (".gitlab/ci/build.yml", "GitLab CI"),
        (".pre-commit-config.yaml", "pre-commit"),
        ("web/.husky/pre-commit", "husky"),
        (".VSCode/Tasks.json", "VS Code"),
        (".vscode", "VS Code"),
        ("./.vscode//tasks.json ", "VS Code"),
        (".devcontainer.json", "devcontainer"),
        ("a/.envrc", "direnv"),
        ("docs/CODEOWNERS", "the rules on reviews (CODEOWNERS)"),
        ("web/.npmrc", "npm"),
    ],
)
def test_files_that_act_by_themselves_are_known(path: str, tool: str) -> None:
    trigger = trigger_of(path.encode())
    assert trigger is not None
    assert trigger.tool == tool
    assert not trigger.refused
    assert not asks_for("The mean of an empty list fails.", path, trigger)
    assert asks_for(f"Please change {path} for us.", path, trigger)
    assert asks_for(f"Make it run in {tool.upper()}.", path, trigger)


@pytest.mark.parametrize(
    "path",
    ["src/calc.py", "vscode/tasks.json", "docs/jenkins.md", "a/codeowners", "npmrc", "README"],
)
def test_other_files_do_not_act_by_themselves(path: str) -> None:
    assert trigger_of(path.encode()) is None


def test_workflows_can_be_allowed() -> None:
    patch = creation(".github/workflows/ci.yml")
    assert rules(patch) == {"workflow"}
    assert Patch(patch).violations(allow_workflows=True) == []


def test_a_rename_is_judged_and_named_by_both_ends() -> None:
    patch = (
        b"diff --git a/ci.yml b/.github/workflows/ci.yml\nsimilarity index 100%\n"
        b"rename from ci.yml\nrename to .github/workflows/ci.yml\n"
    )
    assert rules(patch) == {"workflow"}
    assert Patch(patch).paths == ["ci.yml", ".github/workflows/ci.yml"]


def test_headers_that_are_no_git_headers_count_too() -> None:
    plain = b"--- /dev/null\n+++ b/.git/config\t2020-01-01 00:00:00 +0000\n@@ -0,0 +1 @@\n+x\n"
    assert rules(plain) == {"git_dir"}
    hunk = b"@@ -1 +1 @@\n-a\n+b\n"
    assert rules(b"--- x\n+++ x\n" + hunk + b"--- .git/k\n+++ .git/k\n" + hunk) == {"git_dir"}
    mode_only = b"diff --git a/.git/hooks/x b/.git/hooks/x\nold mode 100644\nnew mode 100755\n"
    assert rules(mode_only) == {"git_dir"}


def test_text_that_looks_like_a_header_inside_a_hunk_is_text() -> None:
    patch = (
        b"diff --git a/q.sql b/q.sql\nindex 1..2 100644\n--- a/q.sql\n+++ b/q.sql\n"
        b"@@ -1,3 +1,3 @@\n--- a/.git/config\n-diff --git a/../x b/../x\n-x\n"
        b"+++ b/.git/config\n+diff --git a/../x b/../x\n+new file mode 160000\n"
    )
    assert Patch(patch).violations() == []
    assert Patch(patch).paths == ["q.sql"]


def test_a_hunk_cannot_hide_a_header_behind_wrong_counts() -> None:
    hidden = creation(".git/config")
    opening = b"diff --git a/x b/x\n--- a/x\n+++ b/x\n"
    for header in (b"@@ -1,9999 +1,9999 @@\n", b"@@ -1,%s +1 @@\n" % (b"9" * 6000)):
        assert "git_dir" in rules(opening + header + b" x\n" + hidden)


def test_a_large_patch_is_refused_without_being_read() -> None:
    assert rules(creation(".git/config") + b" " * SIZE_LIMIT) == {"size"}


def test_messages_can_be_printed() -> None:
    patch = quoted_creation(r".git/\033[2J\377\n")
    (violation,) = Patch(patch).violations()
    assert violation.path.isprintable()
    assert violation.message.isprintable()


names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=12
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(names, st.binary(max_size=60), min_size=1, max_size=5))
@example({" a b/c b".replace("/", "-"): b"x", "-x": b"", "a\nb": b"\0", 'q"\\': b"\r\n"})
def test_what_git_writes_is_read_as_git_reads_it(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    folder = make_repository(tmp_path_factory.mktemp("repository") / "r")
    for name, content in files.items():
        if not (folder / name).exists() and not name.lower().startswith((".git", "git~")):
            write(folder / name, content)
    (folder / "a.txt").rename(folder / "renamed.txt")
    git(folder, "add", "-A", "-f")
    patch = git(folder, "diff", "--cached", "--binary", "-M", "HEAD")
    assert [file.new for file in parse(patch)] == numstat(patch, folder)


SEED = (
    creation("lib/a b.py", "x\n+y")
    + quoted_creation(r"\056git/x")
    + b"diff --git a/o b/n\nsimilarity index 90%\nrename from o\nrename to n\nindex 1..2 100755\n"
    b"--- a/o\n+++ b/n\n@@ -1,2 +1,2 @@\n k\n-a\n+b\n"
    b"--- .git/p\t2020-01-01 10:00:00\n+++ .git/p\n@@ -1 +1 @@\n-a\n+b\n"
)


LINES = (
    *(b"", b"@@ -1 +1 @@", b"@@ -0,0 +1 @@", b"+", b"--- a/x", b"+++ b/y", b"--- /dev/null"),
    *(b"--- .git/config", b"+++ b/.git/k 2020-01-01 00:00:00.123 +0100", b"+++ /dev/null"),
    *(b"diff --git a/.git/z b/.git/z", b'diff --git "a/\\056git" "b/\\056git"'),
    *(b"diff --git a/c d b/c d", b"rename from .git/q", b"copy to x\ty", b"old mode 100644"),
    *(b"new file mode 120000", b"deleted file mode 100644", b"index 1..2 160000"),
    *(b"GIT binary patch", b"literal 0", b"HcmV?d00001", b"\\ No newline at end of file"),
)
NOISE = (b" ", b"\t", b"\r", b"/", b'"', b"\\", b"a/", b"0", b"\x0b", b"\0")


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_mutation_shows_git_a_name_that_we_do_not_see(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    lines = SEED.split(b"\n")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        action = data.draw(st.sampled_from(("drop", "double", "move", "insert", "change")))
        if action == "drop":
            del lines[at]
        elif action == "double":
            lines.insert(at, lines[at])
        elif action == "move":
            lines.insert(at, lines.pop(data.draw(st.integers(0, len(lines) - 1))))
        elif action == "insert":
            lines[at:at] = data.draw(st.lists(st.sampled_from(LINES), min_size=1, max_size=4))
        else:
            where = data.draw(st.integers(0, len(lines[at])))
            noise = data.draw(st.sampled_from(NOISE))
            lines[at] = lines[at][:where] + noise + lines[at][where:]
    patch = b"\n".join(lines)
    # A name with a zero byte is refused, git squeezes slashes, and no rule looks at a/ and b/.
    seen = {re.sub(rb"/+", b"/", name) for file in parse(patch) for name in file.readings}
    if UNREADABLE in seen or any(b"\0" in name for name in seen):
        assert "path_escape" in rules(patch)
        return
    for name in numstat(patch, tmp_path_factory.getbasetemp()) or ():
        bare = name.removeprefix(b"a/").removeprefix(b"b/")
        assert name == b"dev/null" or not seen.isdisjoint((name, bare))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_taken(patch: bytes) -> None:
    read = Patch(patch)
    assert read.violations() is not read.paths
    assert all(file.part in patch for file in read.files)
