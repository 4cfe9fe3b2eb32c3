"""Convert Python requirements in every notation that projects use into lines for pip."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

LOCK_FILES = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock")
"""Lock files, the most reliable first."""

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?"
_COMMENT = re.compile(r"(?:^|\s)#.*")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]{0,60}")
_LOCKED_FIELD = re.compile(r'^(name|version) = "([^"\n]*)"', re.MULTILINE)
_LOCKED_ELSEWHERE = re.compile(
    r"^source = \{ (?!registry\b)|^type = \"(git|url|file|directory)\"|^(git|path|url) = ",
    re.MULTILINE,
)
_LOCK_LIMIT = 64 * 1024


def is_name(name: str) -> bool:
    """Return whether this can be the name of a distribution, an extra or a group."""
    return re.fullmatch(_NAME, name) is not None


def requirements(lines: Iterable[str]) -> list[str]:
    """Return the lines that are requirements, without comments; never options of pip."""
    stripped = (_COMMENT.sub("", line).strip() for line in lines if len(line) < 500)
    return [line for line in stripped if _is_requirement(line)]


def _is_requirement(line: str) -> bool:
    try:
        Requirement(line)
    except (InvalidRequirement, RecursionError):
        return False
    # An address or a quoted marker may hold a line break, and what follows it would be an option.
    return not re.search(r"[\r\n\0]", line)


def poetry_requirements(dependencies: dict[str, Any]) -> list[str]:
    """Return a table of Poetry or Pipenv (`name = "^1.2"`) as requirements.

    Entries with a path, a repository or a URL are left out: pip can find them only through the
    project itself.
    """
    lines = []
    for name, wanted in dependencies.items():
        if canonicalize_name(name) == "python":
            continue
        version, extras, markers = wanted, "", ""
        if isinstance(wanted, dict):
            version = wanted.get("version")
            given = wanted.get("extras")
            names = [e for e in given if isinstance(e, str)] if isinstance(given, list) else []
            extras = f"[{','.join(names)}]" if names else ""
            markers = f" ; {wanted['markers']}" if isinstance(wanted.get("markers"), str) else ""
        if isinstance(version, str):
            lines.append(f"{name}{extras}{poetry_version(version)}{markers}")
    return requirements(lines)


def poetry_version(constraint: str) -> str:
    """Return a constraint of Poetry (`^1.2`, `~1.2`, `1.*`) in pip's notation; "" for any."""
    parts = []
    for each in constraint.partition("||")[0].split(","):
        word = each.strip()
        numbers = [int(number) for number in re.findall(r"\d+", word.partition("-")[0])[:3]]
        if word.startswith(("^", "~")) and not word.startswith("~=") and numbers:
            parts.append(f">={word[1:].strip()},<{_next(numbers, caret=word[0] == '^')}")
        elif word[:1].isdigit():
            parts.append(f"=={word}")
        elif word and word != "*":
            parts.append(word)
    return ",".join(parts)


def _next(numbers: list[int], *, caret: bool) -> str:
    """Return the first version that `^` or `~` excludes."""
    at = 1 if len(numbers) > 1 else 0
    if caret:
        at = next((i for i, number in enumerate(numbers) if number), len(numbers) - 1)
    return ".".join(map(str, [*numbers[:at], numbers[at] + 1]))


def locked_versions(name: str, text: str) -> list[str] | None:
    """Return a lock file's versions as constraints for pip.

    A distribution that is locked in several versions, or does not come from a registry, is left
    out. Returns None when there are too many.
    """
    pairs = _pipenv_pairs(text) if name == "Pipfile.lock" else _toml_pairs(text)
    versions: dict[str, set[str]] = {}
    for distribution, version in pairs:
        if is_name(distribution) and _VERSION.fullmatch(version):
            versions.setdefault(canonicalize_name(distribution), set()).add(version)
    lines = [f"{each}=={found.pop()}" for each, found in versions.items() if len(found) == 1]
    return sorted(lines) if sum(map(len, lines)) <= _LOCK_LIMIT else None


def _toml_pairs(text: str) -> Iterable[tuple[str, str]]:
    # Parsing a whole lock file is slow, and every run would do it.
    for block in text.split("[[package]]")[1:]:
        fields = dict(_LOCKED_FIELD.findall(block.partition("\n[[")[0]))
        if "name" in fields and "version" in fields and not _LOCKED_ELSEWHERE.search(block):
            yield fields["name"], fields["version"]


def _pipenv_pairs(text: str) -> Iterable[tuple[str, str]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return
    for section in ("default", "develop"):
        packages = document.get(section) if isinstance(document, dict) else None
        for name, facts in packages.items() if isinstance(packages, dict) else ():
            version = facts.get("version") if isinstance(facts, dict) else None
            if isinstance(version, str) and version.startswith("=="):
                yield name, version[2:]
