"""Which Python a project asks for, and whether an image has it."""

from __future__ import annotations

import re
import shlex

from reapair.sandbox.recipes.part import Project, printable, table
from reapair.sandbox.recipes.python_needs import ini

_CLAUSE = re.compile(
    r"(>=|>|<=|<|==|~=|\^|~|!=)?\s*(\d{1,3})(?:\.(\d{1,3}|\*))?(?:\.(\d{1,3}|\*))?"
)

Version = tuple[int, int]


def check(project: Project) -> str:
    """Return a shell command that ends the set-up where Python is not the one asked for.

    `py` is Python there; "" when the project does not care.
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


def bounds(wanted: str) -> tuple[Version, Version]:
    """Return the lowest version that will do and the first above that does not."""
    low, high = (0, 0), (9, 0)
    for clause in wanted.partition("||")[0].split(","):
        match = _CLAUSE.fullmatch(clause.strip())
        if match is None or match[1] == "!=":
            continue
        sign, minor_given = match[1] or "==", (match[3] or "*") != "*"
        version = (int(match[2]), int(match[3]) if minor_given else 0)
        following = (version[0], version[1] + 1) if minor_given else (version[0] + 1, 0)
        if sign in (">=", ">", "==", "~=", "^", "~"):
            low = max(low, version)
        if sign in ("<=", "==") or (sign == "<" and (match[4] or "0").strip("*0")):
            high = min(high, following)
        elif sign == "<":
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
