"""The demonstration that ships with the package: a small repository with a bug, the issue that
reports it, and the tiny model that was trained on exactly this."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_HERE = Path(__file__).parent

ISSUE = _HERE / "issue.md"
"""The issue, in the words of a user of the repository."""

MODEL = _HERE / "model.gguf"
"""The tiny model: it knows this one issue and nothing else."""

PROMPTS = _HERE / "prompts"
"""The first messages as they were when the model was trained: it knows those words by heart, and
ours may change. Its tools are pinned alike, as the profile `demonstration`."""

CONTEXT_TOKENS = 16384
"""Context to serve the model with: the demonstration needs about a third of it."""

_NOT_OURS = shutil.ignore_patterns("__pycache__", "*.pyc", ".pytest_cache")


def unpack(directory: Path) -> Path:
    """Write the demonstration's repository to `directory`, as a git repository with one commit.

    Args:
        directory: made if it does not exist; must be empty.

    Returns the directory. Raises FileExistsError when it is not empty, CalledProcessError when git
    fails.
    """
    if directory.exists() and any(directory.iterdir()):
        raise FileExistsError(f"{directory} is not empty: name a new or an empty directory.")
    shutil.copytree(_HERE / "repository", directory, ignore=_NOT_OURS, dirs_exist_ok=True)
    for arguments in (
        ["init", "--quiet", "--template=", "--initial-branch=main"],
        ["add", "--all"],
        ["commit", "--quiet", "--no-verify", "--message=timesheet 1.3.0"],
    ):
        subprocess.run(
            ["git", *arguments], cwd=directory, env=_git_environment(), check=True, timeout=60
        )
    return directory


def _git_environment() -> dict[str, str]:
    """Return an environment in which nobody's git configuration, hooks or signing keys count."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for role in ("AUTHOR", "COMMITTER"):
        environment[f"GIT_{role}_NAME"] = "Timesheet"
        environment[f"GIT_{role}_EMAIL"] = "timesheet@example.invalid"
        environment[f"GIT_{role}_DATE"] = "2026-03-07T09:00:00+00:00"
    return environment
