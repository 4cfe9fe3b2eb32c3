"""What goes from one job to the other is taken as a file of strangers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reapair.agent.result import Evidence, ExitReason, Totals, Verdict
from reapair.agent.surfaces.github import artifact
from reapair.agent.surfaces.github.artifact import ArtifactError, Facts
from reapair.agent.surfaces.github.reference import Reference
from reapair.sandbox.git.patch_policy import SIZE_LIMIT

BASE = "a" * 40
PLACE = Reference("https://github.com", "acme/widgets", 7)
PATCH = b"diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+1\n"


def facts() -> Facts:
    return Facts(
        repository="acme/widgets",
        issue=7,
        base=BASE,
        model="m",
        exit_reason=ExitReason.SUBMITTED,
        evidence=Evidence(verdict=Verdict.PROVED),
        summary="s",
        steps=1,
        usage=Totals(),
        error="",
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    artifact.write(tmp_path / "new", facts(), PATCH)
    assert artifact.read(tmp_path / "new", PLACE, BASE) == (facts(), PATCH)
    with pytest.raises(ArtifactError, match="not empty"):
        artifact.write(tmp_path / "new", facts(), PATCH)


def _facts_with(folder: Path, **more: object) -> None:
    data = json.loads((folder / "result.json").read_text()) | more
    (folder / "result.json").write_text(json.dumps(data))


def _linked(folder: Path) -> None:
    (folder / "patch.diff").unlink()
    (folder / "patch.diff").symlink_to("/etc/passwd")


def _adds(path: str, line: str, mode: str = "100644") -> Callable[[Path], object]:
    patch = f"diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n"
    patch += f"@@ -0,0 +1 @@\n+{line}\n"
    return lambda folder: (folder / "patch.diff").write_text(patch)


SPOILED: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a third file": ("3 files", lambda f: (f / "run.sh").write_text("id")),
    "no patch": ("1 files", lambda f: (f / "patch.diff").unlink()),
    "a link": ("no file", _linked),
    "another issue": ("another issue", lambda f: _facts_with(f, issue=8)),
    "another repository": ("another issue", lambda f: _facts_with(f, repository="acme/other")),
    "another commit": ("another commit", lambda f: _facts_with(f, base="b" * 40)),
    "more fields": ("not one of ours", lambda f: _facts_with(f, branch="main")),
    "a verdict of its own": (
        "not one of ours",
        lambda f: _facts_with(f, evidence={"verdict": "merged"}),
    ),
    "deep JSON": ("not one of ours", lambda f: (f / "result.json").write_text("[" * 100_000)),
    "huge JSON": ("at most", lambda f: (f / "result.json").write_text(" " * 2_000_000)),
    "huge patch": ("at most", lambda f: (f / "patch.diff").write_bytes(b"x" * (SIZE_LIMIT + 1))),
    "a workflow": ("run by the forge", _adds(".github/workflows/x.yml", "on: push")),
    "a path outside": ("leaves the work tree", _adds("../x", "1")),
    "a git hook": ("git directory", _adds(".git/hooks/post-checkout", "id", "100755")),
    "a link out": ("link out", _adds("l", "/etc/passwd", "120000")),
    "a submodule": ("submodule", _adds("s", f"Subproject commit {BASE}", "160000")),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_artifact_is_not_taken(tmp_path: Path, case: str) -> None:
    reason, spoil = SPOILED[case]
    artifact.write(tmp_path / "artifact", facts(), PATCH)
    spoil(tmp_path / "artifact")
    with pytest.raises(ArtifactError, match=reason):
        artifact.read(tmp_path / "artifact", PLACE, BASE)


def test_a_missing_artifact_is_said(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="ended before"):
        artifact.read(tmp_path / "none", PLACE, BASE)
