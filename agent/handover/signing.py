"""Signing a commit the way the user's own git does."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reapair.sandbox.git.run_git import GitError, run_git

if TYPE_CHECKING:
    from reapair.sandbox.git.repository import Repository

_KEYS = (
    "commit.gpgsign",
    "user.signingkey",
    "gpg.format",
    "gpg.program",
    "gpg.openpgp.program",
    "gpg.ssh.program",
    "gpg.ssh.defaultkeycommand",
    "gpg.x509.program",
)
_OF_THE_CLONE = frozenset({"commit.gpgsign", "user.signingkey", "gpg.format"})
"""What a repository may say itself; a program's name is the user's to choose, never a clone's."""

_PASSED_ON = (
    *("HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"),
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"),
    *("GNUPGHOME", "GPG_TTY", "GPG_AGENT_INFO", "SSH_AUTH_SOCK", "DISPLAY", "WAYLAND_DISPLAY"),
)


@dataclass(frozen=True, slots=True)
class Signing:
    """How the user signs: `flags` for git and `env` for the program that does it."""

    flags: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()

    @property
    def wanted(self) -> bool:
        """True when the user's git signs commits."""
        return bool(self.flags)


def signing_of(repository: Repository) -> Signing:
    """Read how the user signs commits in this repository; not at all when git can't say."""
    env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    pattern = f"^({'|'.join(_KEYS)})$".replace(".", r"\.")
    arguments = ("config", "-z", "--show-scope", "--get-regexp", pattern)
    own = {"GIT_DIR": str(repository.git_dir), "GIT_WORK_TREE": str(repository.top)}
    try:
        words = os.fsdecode(run_git(arguments, env | own, repository.top)).split("\0")
    except GitError:
        return Signing()
    settings = {}
    for scope, entry in zip(words[::2], words[1::2], strict=False):
        key, _, value = entry.partition("\n")
        theirs = scope in ("local", "worktree") and key in _OF_THE_CLONE
        if scope in ("global", "system") or theirs:
            settings[key] = value
    if settings.pop("commit.gpgsign", "").lower() not in ("true", "yes", "on", "1"):
        return Signing()
    flags = [word for item in settings.items() for word in ("-c", "=".join(item))]
    passed = {name: value for name, value in env.items() if not name.startswith("GIT_")}
    return Signing(tuple(flags) or ("-c", "gpg.format=openpgp"), tuple(passed.items()))


def signed_or_not(signing: Signing, commit: Callable[[Signing], str]) -> tuple[str, str]:
    """Make a commit, signed where the user signs; return it, and a line when it could not be."""
    if not signing.wanted:
        return commit(Signing()), ""
    try:
        return commit(signing), ""
    except GitError as error:
        note = f"The commit is not signed: {error.detail}. Sign it with: git commit --amend -S"
        return commit(Signing()), note
