"""Rules that a patch must keep, checked on its bytes before anything is changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from reapair.sandbox.git.patch_parser import GITLINK, SYMLINK, FileDiff, printable

SIZE_LIMIT = 5 * 1024 * 1024
"""Most bytes of a patch."""

Rule = Literal[
    "size",
    "path_escape",
    "git_dir",
    "link_escape",
    "gitlink",
    "gitmodules",
    "gitattributes",
    "workflow",
]


class Violation(NamedTuple):
    """A broken rule, the printable path that breaks it, and a message for people."""

    rule: Rule
    path: str
    message: str


# Characters that HFS+ leaves out of names: `.g<U+200C>it` is `.git` there.
_HFS_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
# NTFS's short names of the three files, as git makes them out.
_GIT_DIR = re.compile(r"\.git|git~\d+")
_GITMODULES = re.compile(r"\.gitmodules|gitmod~\d+|gi7eba~\d+")
_GITATTRIBUTES = re.compile(r"\.gitattributes|gitatt~\d+|gi7d29~\d+")
_DRIVE = re.compile(r"[a-z]:", re.IGNORECASE)


class Trigger(NamedTuple):
    """Files that act by themselves on somebody's machine or server.

    Attributes:
        tool: what reads them.
        patterns: of folded paths; a folder ends in `/`, and `**/` stands for any folder or none.
        refused: a patch must not touch them at all, because they run with the forge's rights.
    """

    tool: str
    patterns: tuple[str, ...]
    refused: bool = False


TRIGGERS = (
    Trigger("GitHub Actions", (".github", ".github/workflows/", ".github/actions/"), refused=True),
    Trigger("GitLab CI", (".gitlab-ci.yml/",), refused=True),
    Trigger("GitLab CI", (".gitlab/ci/", ".gitlab-ci/", "**/*.gitlab-ci.y*ml")),
    Trigger("Forgejo", (".forgejo/",)),
    Trigger("Gitea", (".gitea/",)),
    Trigger("CircleCI", (".circleci/", "circle.yml")),
    Trigger("Azure Pipelines", (".azure-pipelines/", ".pipelines/", "**/azure-pipelines*.y*ml")),
    Trigger("Jenkins", ("**/jenkinsfile*", "**/*.jenkinsfile")),
    Trigger("Buildkite", (".buildkite/", "buildkite.y*ml")),
    Trigger("Drone", (".drone/", ".drone*.y*ml", ".drone.jsonnet", ".drone.star")),
    Trigger("Woodpecker", (".woodpecker/", ".woodpecker.y*ml")),
    Trigger("Bitbucket", ("bitbucket-pipelines.y*ml",)),
    Trigger("Travis", (".travis.y*ml",)),
    Trigger("AppVeyor", ("appveyor.y*ml", ".appveyor.y*ml")),
    Trigger("Cirrus CI", (".cirrus.y*ml", ".cirrus.star")),
    Trigger("Semaphore", (".semaphore/",)),
    Trigger("TeamCity", (".teamcity/",)),
    Trigger("Tekton", (".tekton/",)),
    Trigger("Zuul", (".zuul.y*ml", "zuul.y*ml", ".zuul.d/", "zuul.d/")),
    Trigger("SourceHut", (".build.yml", ".builds/")),
    Trigger("Cloud Build", ("cloudbuild.y*ml",)),
    Trigger("CodeBuild", ("buildspec.y*ml",)),
    Trigger("Bitrise", ("bitrise.yml",)),
    Trigger("Codemagic", ("codemagic.y*ml",)),
    Trigger("Read the Docs", (".readthedocs.y*ml", "readthedocs.y*ml")),
    Trigger("Netlify", ("**/netlify.toml",)),
    Trigger("Vercel", ("**/vercel.json",)),
    Trigger("Dependabot", (".github/dependabot.y*ml",)),
    Trigger("Renovate", ("renovate.json*", ".renovaterc*", ".github/renovate.json*")),
    Trigger("CI", (".ci/",)),
    Trigger("pre-commit", (".pre-commit-config.y*ml", ".pre-commit-hooks.y*ml")),
    Trigger("husky", ("**/.husky/", "**/.huskyrc*")),
    Trigger("Lefthook", ("**/lefthook*.y*ml", "**/.lefthook*", "**/lefthook.toml")),
    Trigger("git hooks", ("**/.githooks/", "**/.git-hooks/", "**/.overcommit.yml")),
    Trigger("lint-staged", ("**/.lintstagedrc*",)),
    Trigger("VS Code", ("**/.vscode/", "**/*.code-workspace")),
    Trigger("JetBrains", ("**/.idea/", "**/.run/")),
    Trigger("Cursor", ("**/.cursor/",)),
    Trigger("MCP", ("**/.mcp.json",)),
    Trigger("Vim", ("**/.exrc", "**/.vimrc", "**/.nvimrc", "**/.nvim.lua", "**/.lvimrc")),
    Trigger("Emacs", ("**/.dir-locals.el", "**/.dir-locals-2.el")),
    Trigger("a debugger", ("**/.gdbinit", "**/.lldbinit")),
    Trigger("devcontainer", ("**/.devcontainer/", "**/.devcontainer.json")),
    Trigger("Gitpod", (".gitpod.y*ml",)),
    Trigger("direnv", ("**/.envrc",)),
    Trigger("mise", ("**/mise.toml", "**/.mise.toml", "**/.mise/", "**/mise.*.toml")),
    Trigger("npm", ("**/.npmrc",)),
    Trigger("Yarn", ("**/.yarnrc", "**/.yarnrc.yml", "**/.yarn/", "**/.pnp.*js")),
    Trigger("pnpm", ("**/.pnpmfile.*js", "**/pnpmfile.js")),
    Trigger("Cargo", ("**/.cargo/",)),
    Trigger("Bazel", ("**/.bazelrc",)),
    Trigger("Maven", ("**/.mvn/",)),
    Trigger("the rules on reviews (CODEOWNERS)", (
        "codeowners", "docs/codeowners", *(f".{forge}/codeowners" for forge in
        ("github", "gitlab", "gitea", "forgejo", "bitbucket")),
    )),
)  # fmt: skip


def trigger_of(path: bytes) -> Trigger | None:
    """Return what makes the file at `path` act by itself, None for other files."""
    folded = "/".join(_names(path))
    return next((row for row in TRIGGERS if any(_matches(folded, p) for p in row.patterns)), None)


def asks_for(issue: str, path: str, trigger: Trigger) -> bool:
    """Return whether an issue speaks of the file at `path`, of its name, or of what reads it."""
    folders = {pattern.removeprefix("**/").partition("/")[0] for pattern in trigger.patterns}
    words = {path, path.rpartition("/")[2], trigger.tool, *folders & set(path.lower().split("/"))}
    words |= {word.strip(".") for word in words} | {trigger.tool.replace(" ", "")}
    return any(
        re.search(rf"(?<!\w){re.escape(word)}(?!\w)", issue, re.IGNORECASE) for word in words
    )


def _matches(path: str, pattern: str) -> bool:
    anchored = "*/" + pattern.removeprefix("**/") if pattern.startswith("**/") else "/" + pattern
    # A link or file in place of the folder counts as well.
    return fnmatchcase("/" + path, anchored.rstrip("/")) or (
        pattern.endswith("/") and fnmatchcase("/" + path, anchored + "*")
    )


def violations_of(file: FileDiff) -> Iterator[Violation]:
    """Yield the rules that one file's part of a patch breaks."""
    for reading in sorted(file.readings):
        yield from check_path(reading)
    path = printable(file.new or file.old or min(file.readings))
    if GITLINK in file.types:
        yield Violation("gitlink", path, f"{path} is a submodule; its commit cannot be checked.")
    target = b"\n".join(file.content)
    removed = file.new is None and not file.binary and not target
    if SYMLINK in file.types and not removed:
        if file.binary or not target:
            yield Violation("link_escape", path, f"{path} is a link whose target is not shown.")
        elif any(link_escapes(reading, target) for reading in file.readings):
            message = f"{path} is a link out of the work tree: {printable(target)}"
            yield Violation("link_escape", path, message)


def check_path(path: bytes) -> Iterator[Violation]:
    """Yield the rules that the path alone breaks."""
    text = printable(path)
    names = _names(path)
    if path.startswith((b"/", b"\\")) or _DRIVE.match(text) or ".." in names or b"\0" in path:
        yield Violation("path_escape", text, f"{text} leaves the work tree.")
    if any(_GIT_DIR.fullmatch(name) for name in names):
        yield Violation("git_dir", text, f"{text} lies in a git directory.")
    if names and _GITMODULES.fullmatch(names[0]):
        yield Violation("gitmodules", text, f"{text} tells git where submodules come from.")
    if names and _GITATTRIBUTES.fullmatch(names[-1]):
        yield Violation("gitattributes", text, f"{text} changes what git does with files.")
    if (trigger := trigger_of(path)) and trigger.refused:
        yield Violation("workflow", text, f"{text} is run by the forge, with its rights.")


def _names(path: bytes) -> list[str]:
    return [_folded(name) for name in re.split(rb"[/\\]", path) if name not in (b"", b".")]


def _folded(name: bytes) -> str:
    """Return a path component as the most lenient file system compares it."""
    text = _HFS_IGNORED.sub("", name.decode("utf-8", "surrogateescape")).lower()
    if text in ("..", "."):
        return text
    # NTFS ends a name at a colon, and drops blanks and dots at its end.
    stem = text.partition(":")[0]
    bare = stem.rstrip(" .")
    return bare or (".." if stem.rstrip(" ") == ".." else stem)


def link_escapes(link: bytes, target: bytes) -> bool:
    """Return whether a link's target may lie outside the tree, or in its git directory.

    `..` after a name counts as outside: that name may be a link itself.
    """
    depth = len(_names(link)) - 1
    names = _names(target)
    ups = next((at for at, name in enumerate(names) if name != ".."), len(names))
    return (
        target.startswith((b"/", b"\\"))
        or _DRIVE.match(printable(target)) is not None
        or ups > depth
        or ".." in names[ups:]
        or any(_GIT_DIR.fullmatch(name) for name in names)
    )
