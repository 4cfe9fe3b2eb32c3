"""Which files and settings only tests use: the proof runs the originals, whatever the patch did."""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from typing import Any

from reapair.tools import is_test_file

_SETTINGS = re.compile(
    r"(\.?pytest\.(ini|toml)|(site|user)customize\.py|.*\.pth|conftest\.py|pytest\.py"
    r"|(jest|vitest|karma|playwright|cypress)\.(conf|config)\.\w+|\.mocharc\.?\w*"
    r"|phpunit\.xml(\.dist)?|\.rspec|\.jest\w*|.*\.snap)"
)
_PLUGINS = "pytest11"
_SECTIONS = ("pytest", "tool:pytest", "tool:pytest.ini_options")
_SCRIPT_KEYS = ("jest", "mocha", "ava", "vitest", "c8", "nyc")


def is_support(path: str, before: str, after: str, test_command: str) -> bool:
    """Tell whether the original of a changed file has to stand in while the suite runs.

    Args:
        before, after: the file's text on both sides of the patch.
        test_command: a file it names (a script, a Makefile) decides what tests say, too.
    """
    name = path.rpartition("/")[2]
    return (
        is_settings(path)
        or (is_test_file(path) and not _product_named_testing(path))
        or settings_in(name, before) != settings_in(name, after)
        or _is_run_by(name, test_command)
    )


def is_test_source(path: str) -> bool:
    """Return whether a file is source that a runner may find tests in."""
    name = path.rpartition("/")[2]
    if name.endswith(".py"):
        return is_test_file(name) and name != "conftest.py"
    return (
        is_test_file(path)
        and re.search(r"\.([cm]?[jt]sx?|go|rs|java|kt|rb|php)$", name) is not None
    )


def is_settings(path: str) -> bool:
    """Tell whether a file by its name changes how tests run, or what they say."""
    return _SETTINGS.fullmatch(path.rpartition("/")[2]) is not None


def settings_in(name: str, text: str) -> Any:
    """Return what a file of mixed settings says of the tests; None for all others."""
    try:
        if name == "pyproject.toml":
            return _of_pyproject(tomllib.loads(text))
        if name in ("setup.cfg", "tox.ini"):
            parser = configparser.RawConfigParser(strict=False)
            parser.read_string(text)
            found = {s: dict(parser.items(s)) for s in _SECTIONS if parser.has_section(s)}
            return found, _PLUGINS in text
        if name == "package.json":
            return _of_package(json.loads(text or "{}"))
    except (ValueError, configparser.Error, AttributeError):
        return text
    return _PLUGINS in text if name == "setup.py" else None


def _of_pyproject(data: dict[str, Any]) -> Any:
    project, tool = data.get("project", {}), data.get("tool", {})
    return (
        tool.get("pytest"),
        project.get("entry-points", {}).get(_PLUGINS),
        tool.get("poetry", {}).get("plugins", {}).get(_PLUGINS),
    )


def _of_package(data: dict[str, Any]) -> Any:
    scripts = {k: v for k, v in data.get("scripts", {}).items() if "test" in k}
    return scripts, {key: data.get(key) for key in _SCRIPT_KEYS}


def _product_named_testing(path: str) -> bool:
    """Packages have a `testing` module of their own; only a test's name makes it one here."""
    *folders, name = path.split("/")
    if "testing" not in folders:
        return False
    return not is_test_file("/".join([*(f for f in folders if f != "testing"), name]))


def _is_run_by(name: str, command: str) -> bool:
    words = set(re.split(r"[\s/;&|\"']+", command))
    return name in words or (name in ("Makefile", "makefile", "GNUmakefile") and "make" in words)
