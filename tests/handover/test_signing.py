"""The commit is signed where the user's git signs, and never by a program that a clone names."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from reapair.agent.handover.git_handover import to_branch
from support.repositories import git, make_repository, write

PATCH = (
    b"diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n"
    b"@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"
)
USER = "[user]\n\tname = Ada Lovelace\n\temail = ada@example.org\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return home


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository")


def signed_by_ssh(home: Path) -> None:
    """Make a key, and let the user's git sign with it."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen here")
    key = home / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text()
    write(home / "allowed", f"ada@example.org {public}")
    write(
        home / ".gitconfig",
        f"{USER}\tsigningkey = {key}.pub\n[commit]\n\tgpgsign = true\n[gpg]\n\tformat = ssh\n"
        f'[gpg "ssh"]\n\tallowedSignersFile = {home}/allowed\n',
    )


def test_a_real_key_signs_and_git_verifies(home: Path, repository: Path) -> None:
    signed_by_ssh(home)
    made = to_branch(repository, PATCH, name="agent/fix", message="m", when=1_700_000_000)
    assert made.note == ""
    # Not by the helper: this one asks the user's configuration.
    subprocess.run(["git", "verify-commit", made.name], cwd=repository, check=True)
    again = to_branch(repository, PATCH, name="agent/fix", message="m", when=1_700_000_000)
    assert again.name == made.name


def test_a_key_that_is_gone_is_told(home: Path, repository: Path) -> None:
    signed_by_ssh(home)
    (home / "key").unlink()
    (home / "key.pub").unlink()
    made = to_branch(repository, PATCH, name="agent/fix", message="m")
    assert "The commit is not signed" in made.note
    assert "git commit --amend -S" in made.note
    assert b"gpgsig" not in git(repository, "cat-file", "commit", made.name)


def test_nobody_signs_unasked(home: Path, repository: Path) -> None:
    write(home / ".gitconfig", USER)
    made = to_branch(repository, PATCH, name="agent/fix", message="m")
    assert made.note == ""
    assert b"gpgsig" not in git(repository, "cat-file", "commit", made.name)


def test_a_clone_names_no_program(home: Path, repository: Path, tmp_path: Path) -> None:
    write(home / ".gitconfig", USER)
    program = write(tmp_path / "program", f"#!/bin/sh\ntouch '{tmp_path}/canary'\n")
    program.chmod(0o755)
    for key, value in (("commit.gpgsign", "true"), ("gpg.program", str(program)),
                       ("gpg.ssh.program", str(program)), ("gpg.format", "ssh"),
                       ("user.signingkey", "x")):  # fmt: skip
        git(repository, "config", key, value)
    to_branch(repository, PATCH, name="agent/fix", message="m")
    assert not (tmp_path / "canary").exists()


def test_a_gpg_key_signs_and_git_verifies(
    home: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("gpg") is None:
        pytest.skip("no gpg here")
    # An agent's socket has a short path only.
    keys = Path(tempfile.mkdtemp(prefix="gpg-", dir="/tmp"))
    monkeypatch.setenv("GNUPGHOME", str(keys))
    make = ("gpg", "--batch", "--passphrase", "", "--quick-gen-key")
    who = "Ada Lovelace <ada@example.org>"
    try:
        subprocess.run([*make, who, "ed25519", "sign"], check=True, capture_output=True)
        write(home / ".gitconfig", f"{USER}[commit]\n\tgpgsign\n")
        made = to_branch(repository, PATCH, name="agent/fix", message="m")
        assert made.note == ""
        subprocess.run(["git", "verify-commit", made.name], cwd=repository, check=True)
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], check=False)
        shutil.rmtree(keys)
