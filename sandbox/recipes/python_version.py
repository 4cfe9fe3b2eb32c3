"""Check that an image has the Python version that a project requires."""

from __future__ import annotations

import re
import shlex

from packaging.specifiers import Specifier
from packaging.version import Version

from reapair.sandbox.recipes.part import Project, printable, table
from reapair.sandbox.recipes.python_needs import ini
from reapair.sandbox.recipes.requirement import poetry_version

MinorVersion = tuple[int, int]


def check(project: Project) -> str:
    """Return a shell command that ends the set-up where Python has the wrong version.

    It uses the shell variable `py`; "" when the project accepts any version.
    """
    wanted = _wanted(project)
    low, high = bounds(wanted)
    if (low, high) == ((0, 0), (9, 0)):
        return ""
    fits = f"import sys; sys.exit(not {low} <= sys.version_info[:2] < {high})"
    major, minor = (high[0], high[1] - 1) if high[1] else low
    complaint = (
        f"The project needs Python {printable(wanted, 40)}, the image has another: "
        f"give one with --image, such as python:{major}.{minor}."
    )
    return (
        f"ask {shlex.quote(fits)} || "
        f"{{ \"$py\" --version; printf '%s\\n' {shlex.quote(complaint)}; exit 3; }}\n"
    )


def bounds(wanted: str) -> tuple[MinorVersion, MinorVersion]:
    """Return the lowest accepted version and the first one above that is not."""
    low, high = (0, 0), (9, 0)
    # Of Poetry's ^ and ~ only the lower bound: the Python that they exclude does not exist yet.
    text = re.sub(r"[\^~](?!=)", ">=", wanted[:500])
    for word in poetry_version(text).split(","):
        try:
            clause = Specifier(word)
            release = Version(clause.version.removesuffix(".*")).release
        except ValueError:  # Of either.
            continue
        version = (release[0], release[1] if len(release) > 1 else 0)
        following = (version[0], version[1] + 1) if len(release) > 1 else (version[0] + 1, 0)
        if clause.operator in (">=", ">", "==", "~="):
            low = max(low, version)
        if clause.operator in ("<=", "==") or (clause.operator == "<" and any(release[2:])):
            high = min(high, following)
        elif clause.operator == "<":
            high = min(high, version)
    return low, high


def _wanted(project: Project) -> str:
    pyproject = project.toml("pyproject.toml")
    stated = re.search(r"""python_requires\s*=\s*["']([^"'\n]{1,60})""", project.text("setup.py"))
    for found in (
        table(pyproject, "project").get("requires-python"),
        table(pyproject, "tool", "poetry", "dependencies").get("python"),
        table(ini(project, "setup.cfg"), "options").get("python_requires"),
        stated and stated[1],
    ):
        if isinstance(found, str):
            return found
    return ""
