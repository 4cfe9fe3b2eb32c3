"""The set-up of a Python project as a shell script; each step has a fallback."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from reapair.sandbox.base import WORKSPACE
from reapair.sandbox.limits import TMP
from reapair.sandbox.recipes.part import stop
from reapair.sandbox.recipes.python_needs import Needs

_LOCKED = f"{TMP}/locked.txt"

_ON_PATH = """import os, site, sys, sysconfig
in_place = sys.prefix == sys.base_prefix
place = site.getusersitepackages() if in_place else sysconfig.get_path("purelib")
os.makedirs(place, exist_ok=True)
with open(os.path.join(place, "project.pth"), "w") as file:
    file.write(sys.argv[1] + "\\n")"""

BEGIN = f"""py=$(command -v python || command -v python3) || {
    stop("There is no Python in the image. Give one that has with --image, such as python:3.12.")
}
pip() {{ if [ -x "${{py%/*}}/pip" ]; then "${{py%/*}}/pip" "$@"; else "$py" -m pip "$@"; fi; }}
# Not in the sources, whose modules would hide the installed ones.
ask() {{ ( cd / && "$py" -c "$@" ) 2>/dev/null; }}
on_path() {{
    ask {shlex.quote(_ON_PATH)} "$here/$1" &&
        problem 'The project could not be built; its sources are used without that.'
}}
here=$PWD
"""

PYTEST = f"""ask 'import sys; sys.exit(sys.prefix != sys.base_prefix)' &&
    export PIP_USER=1 PIP_BREAK_SYSTEM_PACKAGES=1
ask 'import pytest' || attempt pytest pip install -q --retries 1 --timeout 15 pytest || {
    stop("pytest could not be installed, so nothing else is tried. Is the package index reachable?")
}
"""

# Only modules whose distribution has the same name: others are not guessed.
UNDECLARED = r"""for each in $(grep -rhoE --include='*.py' \
    '^(import|from) (freezegun|hypothesis|mock|parameterized|pretend|pytest_asyncio|pytest_mock'\
'|requests_mock|responses|six|testfixtures|time_machine|trustme)\>' . | cut -d' ' -f2 | sort -u)
do
    ask "import $each" || attempt "$each, which is imported" pip install -q "$each" ||
        problem "$each is not installed."
done
"""

_INSTALLED = f"""import importlib.metadata, pytest, sys
found = importlib.metadata.distribution({{name!r}}).read_text("direct_url.json") or ""
here = "file://{WORKSPACE}" in found or any(p.startswith("{WORKSPACE}") for p in sys.path)
sys.exit(not here)"""


def unless_installed(name: str) -> str:
    """Return lines that end the set-up where an image has the project installed already."""
    question = shlex.quote(_INSTALLED.format(name=name))
    return f"ask {question} && {{ echo 'The image has it installed already.'; exit 0; }}\n"


def lock(versions: Sequence[str]) -> str:
    """Return a line that writes the locked versions into a file for pip."""
    return f"printf '%s\\n' {shlex.join(versions)} > {_LOCKED}\n" if versions else ""


def compiler() -> str:
    """Return a line that reports a missing C compiler."""
    words = (
        "There is no C compiler in the image, so modules in C cannot be built. "
        "Give one that has with --image, such as python:3.12."
    )
    return f"command -v cc gcc clang > /dev/null || problem {shlex.quote(words)}\n"


def install_project(
    needs: Needs, siblings: Iterable[str], own: list[str] | None, source: str, *, lock: bool
) -> str:
    """Return lines that install a project and its needs at once, or as much as possible.

    Args:
        needs: to install beside the project.
        siblings: folders of projects that it needs from the same tree.
        own: its dependencies; None where only building it shows them.
        source: folder with its modules, for a project that cannot be built.
        lock: whether `lock` has written versions.
    """
    extras = f"[{','.join(needs.extras)}]" if needs.extras else ""
    before = [word for path in siblings for word in ("-e", path)]
    whole = [*before, "-e", f".{extras}", *needs.requirements]
    attempts = [_attempt("the project and what its tests need", whole)]
    if lock:
        attempts.insert(0, _attempt("all of it as locked", ["-c", _LOCKED, *whole]))
    fewer = [words for words in ([*before, "-e", f".{extras}"], ["-e", "."]) if words != whole]
    rest = [_attempt("less of it", words) for words in fewer]
    if own is None:
        rest.append(stop("The project could not be installed."))
    else:
        done = _attempt("what it depends on", own) if own else ":"
        rest.append(f"{{ {done} && on_path {shlex.quote(source)}; }}")
        rest.append(stop("Not even what the project depends on could be installed."))
    return _else_each(attempts, " ||\n".join(rest), needs.requirements)


def install_requirements(needs: Needs, *, lock: bool) -> str:
    """Return lines that install requirements at once, or as many as possible one by one."""
    if not needs.requirements:
        return ""
    attempts = [_attempt("what it needs", needs.requirements)]
    if lock:
        attempts.insert(0, _attempt("all of it as locked", ["-c", _LOCKED, *needs.requirements]))
    return _else_each(attempts, "", needs.requirements)


def install_files(files: Iterable[str]) -> str:
    """Return lines that install as many requirement files as possible."""
    return "".join(_optional(file, ["-r", file]) for file in files)


def _else_each(attempts: list[str], first: str, requirements: list[str]) -> str:
    singly = "".join(_optional(word, [word]) for word in requirements)
    return " ||\n".join(attempts) + f" || {{\n{first}\n{singly}}}\n"


def _attempt(what: str, words: Sequence[str]) -> str:
    return f"attempt {shlex.quote(what)} pip install -q {shlex.join(words)}"


def _optional(what: str, words: Sequence[str]) -> str:
    return f"{_attempt(what, words)} || problem {shlex.quote(f'{what} is not installed.')}\n"
