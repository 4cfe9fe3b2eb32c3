"""Find the plugins without which a project's own pytest settings are an error."""

from __future__ import annotations

import re

from reapair.sandbox.recipes.part import Project, strings, table
from reapair.sandbox.recipes.python_needs import ini
from reapair.sandbox.recipes.requirement import requirements

_BY_OPTION = {
    "--cov": "pytest-cov",
    "--no-cov": "pytest-cov",
    "-n": "pytest-xdist",
    "--numprocesses": "pytest-xdist",
    "--dist": "pytest-xdist",
    "--timeout": "pytest-timeout",
    "--benchmark": "pytest-benchmark",
    "--asyncio-mode": "pytest-asyncio",
    "--reruns": "pytest-rerunfailures",
    "--randomly": "pytest-randomly",
    "--random-order": "pytest-random-order",
    "--doctest-plus": "pytest-doctestplus",
    "--doctest-rst": "pytest-doctestplus",
    "--html": "pytest-html",
    "--ds": "pytest-django",
    "--no-migrations": "pytest-django",
    "--reuse-db": "pytest-django",
    "--mypy": "pytest-mypy",
    "--ruff": "pytest-ruff",
    "--flake8": "pytest-flake8",
    "--black": "pytest-black",
    "--mpl": "pytest-mpl",
    "--instafail": "pytest-instafail",
    "--codspeed": "pytest-codspeed",
    "--snapshot": "syrupy",
    "--hypothesis": "hypothesis",
}
_BY_SETTING = {
    "asyncio_mode": "pytest-asyncio",
    "timeout": "pytest-timeout",
    "DJANGO_SETTINGS_MODULE": "pytest-django",
}


def plugins(project: Project) -> list[str]:
    """Return requirements for the plugins whose options or settings are configured."""
    settings = _settings(project)
    options = f" {settings.get('addopts', '')} "
    wanted = [
        plugin
        for option, plugin in _BY_OPTION.items()
        if re.search(rf"\s{re.escape(option)}(?=[\s=\d-])", options)
    ]
    wanted += [plugin for setting, plugin in _BY_SETTING.items() if setting in settings]
    wanted += requirements(re.split(r"[\s,]+", settings.get("required_plugins", "")))
    return list(dict.fromkeys(wanted))


def _settings(project: Project) -> dict[str, str]:
    """Return pytest's settings from the first file that has some, as pytest itself does."""
    for name in ("pytest.ini", ".pytest.ini"):
        if project.has(name):
            return ini(project, name).get("pytest", {})
    tool = table(project.toml("pyproject.toml"), "tool", "pytest")
    if options := table(tool, "ini_options") or tool:
        return {
            key: value if isinstance(value, str) else " ".join(strings(value))
            for key, value in options.items()
        }
    found = ini(project, "tox.ini").get("pytest")
    return found or ini(project, "setup.cfg").get("tool:pytest", {})
