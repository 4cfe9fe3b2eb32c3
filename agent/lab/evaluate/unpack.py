"""Unpack archives that may be hostile; Python has a filter for that only since 3.11.4."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import cast

from reapair.sandbox.git.patch_policy import link_escapes


def extract(tar: tarfile.TarFile, members: Iterable[tarfile.TarInfo], place: Path) -> None:
    """Write members of an archive into a directory that nobody else writes to.

    Owners, times and special mode bits are not restored. Raises TarError for a member or link that
    leads out of the directory, and for what is neither file, directory nor link.
    """
    for member in members:
        file = _below(place, member.name)
        if file == place:
            continue
        if member.isdir():
            file.mkdir(exist_ok=True)
            continue
        _remove(file)
        if member.issym():
            if link_escapes(os.fsencode(member.name), os.fsencode(member.linkname)):
                raise tarfile.ExtractError(f"{member.name} links to what lies outside")
            file.symlink_to(member.linkname)
        elif member.islnk():
            shutil.copy(_regular(_below(place, member.linkname)), file)
        elif member.isreg():
            _write(tar, member, file)
        else:
            raise tarfile.ExtractError(f"{member.name} is no file, directory or link")


def _below(place: Path, name: str) -> Path:
    """Return the path of a member; its parents are made and are directories, never links."""
    parts = PurePosixPath(name).parts
    if ".." in parts or PurePosixPath(name).is_absolute():
        raise tarfile.ExtractError(f"{name} lies outside")
    folder = place
    for part in parts[:-1]:
        folder /= part
        if folder.is_symlink():
            raise tarfile.ExtractError(f"{name} lies behind a link")
        folder.mkdir(exist_ok=True)
    return folder / parts[-1] if parts else place


def _remove(file: Path) -> None:
    """Remove an earlier member of the same name, but for a directory."""
    if file.is_symlink() or file.is_file():
        file.unlink()


def _regular(file: Path) -> Path:
    if not file.exists() or not stat.S_ISREG(file.lstat().st_mode):
        raise tarfile.ExtractError(f"{file.name} is linked to and is no file")
    return file


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, file: Path) -> None:
    with file.open("xb") as written:
        # A regular member always has content.
        shutil.copyfileobj(cast("tarfile.ExFileObject", tar.extractfile(member)), written)
    executable = 0o111 if member.mode & 0o100 else 0
    file.chmod(member.mode & (0o644 | executable) | 0o600)
