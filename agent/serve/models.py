"""The model files on this machine, and how to get one that is missing."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from reapair.agent.model.types import ModelError
from reapair.agent.serve.catalogue import REPOSITORY, ModelFile
from reapair.agent.serve.gguf import GGUFError, Metadata, read_metadata

_ROOM = 2 * 10**9
"""Bytes that stay free on the disk after a download."""


@dataclass(frozen=True, slots=True)
class Local:
    """A GGUF file that is here; `metadata` is None where it can't be read."""

    path: Path
    size: int
    metadata: Metadata | None


def places() -> list[Path]:
    """Return the directories that hold model files: ours, the hub's cache, llama.cpp's."""
    caches = Path.home() / ".cache"
    hub = Path(os.environ.get("HF_HOME") or caches / "huggingface") / "hub"
    if platform.system() == "Darwin":
        caches = Path.home() / "Library" / "Caches"
    return [
        user_data_path("agent") / "models",
        Path(os.environ.get("HF_HUB_CACHE") or hub),
        Path(os.environ.get("LLAMA_CACHE") or caches / "llama.cpp"),
    ]


def local_files() -> Iterator[Local]:
    """Yield the model files of all places; parts of a file and projectors are no models."""
    for place in places():
        for path in sorted(place.rglob("*.gguf")) if place.is_dir() else []:
            if "mmproj" in path.name or not path.is_file():
                continue
            try:
                metadata = read_metadata(path)
            except GGUFError:
                metadata = None
            yield Local(path, path.stat().st_size, metadata)


def find(file: ModelFile) -> Path | None:
    """Return where a file of the catalogue lies.

    llama.cpp's cache has the repository before the name.
    """
    for local in local_files():
        if local.path.name.endswith(file.name) and local.metadata:
            return local.path
    return None


def fetch(file: ModelFile) -> Path:
    """Fetch a file from the hub into its cache, resuming what was interrupted.

    The hub's own settings hold: HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN, HF_HUB_CACHE. Raises
    ModelError with what to do when it can't be had.
    """
    try:
        from huggingface_hub import errors, get_hf_file_metadata, hf_hub_download, hf_hub_url
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError as error:
        raise ModelError(
            "Fetching models needs huggingface_hub.\nInstall it: pip install 'reapair[local]'"
        ) from error
    try:
        remote = get_hf_file_metadata(hf_hub_url(REPOSITORY, file.name))
        _check_disk(Path(HF_HUB_CACHE), remote.size or file.size)
        path = Path(hf_hub_download(REPOSITORY, file.name))
    except errors.GatedRepoError as error:
        raise _not_had(
            file, "the hub wants you to accept its terms; log in: hf auth login"
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise _not_had(file, "HF_HUB_OFFLINE is set") from error
    except (errors.RepositoryNotFoundError, errors.RemoteEntryNotFoundError) as error:
        raise _not_had(file, f"it is not in {REPOSITORY}") from error
    except (OSError, errors.HfHubHTTPError, errors.LocalEntryNotFoundError) as error:
        raise _not_had(file, str(error).splitlines()[0][:200]) from error
    _check_sum(path, remote.etag)
    return path


def _not_had(file: ModelFile, reason: str) -> ModelError:
    return ModelError(
        f"{file.name} could not be fetched: {reason}.\n"
        f"Put the file into {places()[0]}, or name it: agent serve --model FILE"
    )


def _check_disk(cache: Path, size: int) -> None:
    place = next(path for path in (cache, *cache.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free < size + _ROOM:
        raise ModelError(
            f"The file takes {size / 1e9:.1f} GB and {place} has {free / 1e9:.1f} GB free.\n"
            "Make room, or set HF_HUB_CACHE to another disk."
        )


def _check_sum(path: Path, etag: str | None) -> None:
    """Compare with the hub's SHA-256, which is the etag of every large file."""
    if etag is None or len(etag) != 64:
        return
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != etag:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise ModelError(f"{path.name} was damaged on its way and is removed.\nFetch it again.")
