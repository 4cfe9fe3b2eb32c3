"""A user's repository on the host: little is read, and only a hand-over changes it.

Work happens in a bare git directory of our own (`GitStore`), which borrows the repository's
objects. From the repository's own directory only references and settings are read.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from reapair.sandbox.git.run_git import SAFE_ENVIRONMENT, GitError, run_git

AGENT = ("agent", "agent@localhost")
"""Author of commits where no user is configured."""

_BOOLEAN = {"true": "true", "yes": "true", "on": "true", "1": "true", "": "true"}
_BOOLEAN |= {"false": "false", "no": "false", "off": "false", "0": "false"}
_CONVERSION = {
    "core.autocrlf": _BOOLEAN | {"input": "input"},
    "core.eol": {word: word for word in ("lf", "crlf", "native")},
}
_FILE_SYSTEM = dict.fromkeys(
    ("core.filemode", "core.symlinks", "core.ignorecase", "core.precomposeunicode"), _BOOLEAN
)
_SIGNING = ("user.signingkey", "gpg.format")
_USERS_ALONE = (
    "core.excludesfile",
    *("gpg.program", "gpg.openpgp.program", "gpg.x509.program"),
    *("gpg.ssh.program", "gpg.ssh.defaultkeycommand"),
)
"""Settings that name files and programs of the user's, which a clone must not choose."""

_SETTINGS = (
    *(*_CONVERSION, *_FILE_SYSTEM, *_USERS_ALONE),
    *("user.name", "user.email", "commit.gpgsign", *_SIGNING),
)
_USER_CONFIGURATION = (
    *("HOME", "XDG_CONFIG_HOME"),
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"),
)
_SIGNING_VARIABLES = (
    *("HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "DISPLAY", "WAYLAND_DISPLAY"),
    *("GNUPGHOME", "GPG_TTY", "GPG_AGENT_INFO", "SSH_AUTH_SOCK"),
)
_EXCLUDES_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Repository:
    """The directories of a repository; in a linked worktree `git_dir` and `common_dir` differ."""

    top: Path
    git_dir: Path
    common_dir: Path

    @classmethod
    def find(cls, path: Path) -> Self:
        """Return the repository whose work tree holds `path`. Raises GitError.

        Does not use git's search, which reads configuration and refuses another user's files.
        """
        start = path.resolve()
        for top in (start, *start.parents):
            git_dir = _git_dir(top / ".git")
            if git_dir is not None:
                return cls(top, git_dir, _common_dir(git_dir))
        raise GitError(f"{path} is not in a git repository. Run `git init` there first.")

    def refuse_pipes(self) -> None:
        """Raise GitError for a pipe or device where git reads: it would wait there for ever."""
        for directory in {self.git_dir, self.common_dir}:
            for path in _metadata(directory):
                if _blocks(path):
                    raise GitError(
                        f"{path!r} is a pipe or a device, which git would wait for. Remove it."
                    )

    def git(
        self,
        *arguments: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run git on the repository's own directory; for references and objects only.

        Never for what reads the work tree or the index, because the repository's configuration is
        in effect. `env` holds more variables. Raises GitError.
        """
        environment = {**SAFE_ENVIRONMENT, **self._own(), **(env or {})}
        return run_git(arguments, environment, self.top, stdin)

    def head(self) -> str | None:
        """Return the commit of HEAD, None before the first one."""
        try:
            return self.git("rev-parse", "--verify", "--quiet", "HEAD").decode().strip()
        except GitError:
            return None

    def branch(self) -> str | None:
        """Return the full name of the branch HEAD is on, even an unborn one; None when detached."""
        try:
            return self.git("symbolic-ref", "--quiet", "HEAD").decode("utf-8", "replace").strip()
        except GitError:
            return None

    def commit(self, revision: str) -> str:
        """Return the commit a revision (`HEAD~2`, `v1.0`) names. Raises GitError."""
        try:
            if revision.startswith("-"):
                raise GitError(revision)
            name = f"{revision}^{{commit}}"
            return self.git("rev-parse", "--verify", "--quiet", name).decode().strip()
        except GitError:
            raise GitError(f"{revision} names no commit in {self.top}.") from None

    def settings(self) -> dict[str, str]:
        """Return the few settings that are respected, from the user's whole configuration."""
        environment = {key: os.environ[key] for key in _USER_CONFIGURATION if key in os.environ}
        pattern = f"^({'|'.join(_SETTINGS)})$".replace(".", r"\.")
        arguments = ("config", "-z", "--show-scope", "--get-regexp", pattern)
        try:
            words = os.fsdecode(run_git(arguments, environment | self._own(), self.top)).split("\0")
        except GitError:
            return {}
        settings = {}
        for scope, entry in zip(words[::2], words[1::2], strict=False):
            key, _, value = entry.partition("\n")
            # An ignore file's lines go into the sandbox, and programs run on the host. Flags given
            # here (`command`) are no settings.
            of_the_clone = scope in ("local", "worktree") and key not in _USERS_ALONE
            if of_the_clone or scope in ("global", "system"):
                settings[key] = value
        return settings

    def identity(self) -> tuple[str, str]:
        """Return the user's name and mail address, else a neutral pair."""
        settings = self.settings()
        name, email = settings.get("user.name", ""), settings.get("user.email", "")
        return (name, email) if name.strip() and email.strip() else AGENT

    def signing(self) -> tuple[str, ...]:
        """Return git's flags to sign as the user's git does; () where it signs no commits."""
        settings = self.settings()
        if _BOOLEAN.get(settings.get("commit.gpgsign", "no").lower()) != "true":
            return ()
        settings = {"gpg.format": "openpgp"} | settings
        keys = (*_SIGNING, *_USERS_ALONE[1:])
        return tuple(w for key in keys if key in settings for w in ("-c", f"{key}={settings[key]}"))

    def _own(self) -> dict[str, str]:
        return {"GIT_DIR": str(self.git_dir), "GIT_WORK_TREE": str(self.top)}


class GitStore:
    """A private bare git directory over a user's work tree and objects, which it only reads.

    Args:
        directory: its place; created when missing, reused otherwise.
        repository: a path in the user's work tree.
    """

    def __init__(self, directory: Path, repository: Path) -> None:
        self.directory = directory.resolve()
        self.repository = Repository.find(repository)
        self.repository.refuse_pipes()
        self.index = self.directory / "index"
        settings = self.repository.settings()
        self.conversion = _known(settings, _CONVERSION)
        """Settings that change the bytes between work tree and objects."""
        self._settings = self.conversion | _known(settings, _FILE_SYSTEM)
        if not (self.directory / "HEAD").exists():
            self._create()
        objects = _c_quoted(os.fsencode(self.repository.common_dir / "objects"))
        (self.directory / "objects/info/alternates").write_bytes(objects + b"\n")
        self.excludes = self._excludes(settings.get("core.excludesfile"))
        """Ignore patterns of the user and of this clone, without those in the tree."""
        (self.directory / "info").mkdir(exist_ok=True)
        (self.directory / "info/exclude").write_bytes(self.excludes)

    def git(
        self,
        *arguments: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        timeout: float = 120.0,
    ) -> bytes:
        """Run git in this directory and return its standard output. Raises GitError.

        Args:
            arguments: a subcommand and its arguments; put `--` before paths.
            stdin: what it reads.
            env: more variables.
            timeout: in seconds.
        """
        flags = [word for item in self._settings.items() for word in ("-c", "=".join(item))]
        environment = {
            **SAFE_ENVIRONMENT,
            "GIT_DIR": str(self.directory),
            "GIT_WORK_TREE": str(self.repository.top),
            "GIT_INDEX_FILE": str(self.index),
            **(env or {}),
        }
        return run_git((*flags, *arguments), environment, self.repository.top, stdin, timeout)

    def commit_tree(
        self,
        tree: str,
        message: str,
        *,
        parent: str | None,
        env: Mapping[str, str],
        sign: tuple[str, ...] = (),
    ) -> str:
        """Write a commit and return its id.

        Args:
            tree, message, parent: its content.
            env: names author, committer and dates.
            sign: flags of `Repository.signing`; () leaves it unsigned.
        """
        if sign:
            env = {
                **env,
                **{key: os.environ[key] for key in _SIGNING_VARIABLES if key in os.environ},
            }
        parents = ["-p", parent] if parent else []
        text = message.replace("\0", "").strip() + "\n"
        arguments = (*sign, "commit-tree", "-S" if sign else "--no-gpg-sign", *parents, tree)
        return self.git(*arguments, stdin=text.encode("utf-8", "replace"), env=env).decode().strip()

    def tree_of(self, commit: str) -> str:
        """Return the id of a commit's tree. Raises GitError."""
        return self.git("rev-parse", "--verify", f"{commit}^{{tree}}").decode().strip()

    @property
    def shallow(self) -> list[str]:
        """The commits whose parents the user's repository does not have."""
        return read_regular(self.directory / "shallow").decode("ascii", "replace").split()

    def copy_index(self) -> None:
        """Copy the user's index: the tracked files, and which of them need not be read again."""
        source = self.repository.git_dir
        self.index.unlink(missing_ok=True)
        for file in (source / "index", *source.glob("sharedindex.*")):
            if file.is_file() and not file.is_symlink():
                # With its times: a file as new as its index entry counts as changed (racy git).
                shutil.copy2(file, self.directory / file.name)
        if not self.index.exists() and (head := self.repository.head()):
            self.git("read-tree", head)

    def _create(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GitError(f"The directory for the snapshot could not be made: {error}") from error
        object_format = self.repository.git("rev-parse", "--show-object-format").decode().strip()
        flags = ["--bare", "--template="]
        if object_format != "sha1":
            flags.append(f"--object-format={object_format}")
        run_git(("init", "-q", *flags, str(self.directory)), SAFE_ENVIRONMENT, self.directory)
        shallow = self.repository.common_dir / "shallow"
        if shallow.is_file():
            shutil.copyfile(shallow, self.directory / "shallow")

    def _excludes(self, configured: str | None) -> bytes:
        home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
        own = Path(os.path.expanduser(configured or f"{home}/git/ignore"))
        clone = self.repository.common_dir / "info/exclude"
        return read_regular(own, follow=True) + b"\n" + read_regular(clone) + b"\n"


def _git_dir(entry: Path) -> Path | None:
    """Return the git directory that `.git` is or, in a worktree or submodule, names."""
    if entry.is_file():
        content = read_regular(entry)
        if not content.startswith(b"gitdir: "):
            return None
        entry = (entry.parent / os.fsdecode(content[8:].rstrip(b"\r\n"))).resolve()
    return entry if os.path.lexists(entry / "HEAD") else None


def _metadata(git_dir: Path) -> Iterator[str]:
    """Yield the files of a git directory but its objects and other repositories' directories."""
    for folder, folders, files in os.walk(git_dir):
        if folder == str(git_dir):
            folders[:] = [name for name in folders if name not in ("objects", "modules")]
        yield from (os.path.join(folder, name) for name in files)
    yield from map(str, git_dir.glob("objects/info/*"))
    yield from map(str, git_dir.glob("objects/pack/*"))


def _blocks(path: str) -> bool:
    """Return whether opening a file may wait, also through a link; a socket refuses at once."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def _common_dir(git_dir: Path) -> Path:
    content = read_regular(git_dir / "commondir").strip()
    return (git_dir / os.fsdecode(content)).resolve() if content else git_dir


def read_regular(path: Path, *, follow: bool = False) -> bytes:
    """Return a small file's content; b"" for what is missing, a pipe, a link, or unreadable."""
    try:
        flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
        descriptor = os.open(path, flags)
    except OSError:
        return b""
    with open(descriptor, "rb") as file:
        return file.read(_EXCLUDES_LIMIT) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""


def _known(settings: Mapping[str, str], known: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    values = {key: known[key].get(settings.get(key, "?").lower()) for key in known}
    return {key: value for key, value in values.items() if value is not None}


def _c_quoted(path: bytes) -> bytes:
    for raw, escaped in ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n")):
        path = path.replace(raw, escaped)
    return b'"' + path + b'"'
