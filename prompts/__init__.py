"""Every word the model reads that is not code: Markdown templates, rendered with Jinja."""

from __future__ import annotations

import difflib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2 import Environment

__all__ = ["Prompts", "PromptsError", "render"]

NEEDED = {"issue": {"issue"}}
"""What a replacement has to show: without it the model would not know what to do."""


class PromptsError(ValueError):
    """A replacement that cannot be used. The message names the file, why, and what can be there."""


class Prompts:
    """The templates of a run: ours, or the user's where a directory of theirs has one of that name.

    Args:
        directory: holds `system.md`, `feedback/format.md` and so on; None: all are ours.

    Raises PromptsError for a file that replaces nothing, cannot be read as a template, uses a name
    that it is not given or leaves out what the model must know.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._environment = _ours() if directory is None else _environment(directory)
        if directory is not None:
            _check(directory, self._environment)

    def render(self, name: str, /, **values: object) -> str:
        """Render the template `name` (without `.md`).

        Raises jinja2.UndefinedError for a variable that was not given, jinja2.TemplateNotFound for
        an unknown name. Values are inserted as they are: they are data, never templates.
        """
        return self._environment.get_template(f"{name}.md").render(values)


def render(name: str, /, **values: object) -> str:
    """Render one of our own templates; see `Prompts.render`."""
    return _ours().get_template(f"{name}.md").render(values)


@cache
def _ours() -> Environment:
    return _environment(None)


def _environment(directory: Path | None) -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def load(name: str) -> str | None:
        for place in (directory, resources.files(__package__)):
            if place is not None and (file := place / name).is_file():
                return file.read_text("utf-8")
        return None

    return Environment(  # Markdown for a model: nothing here is HTML.
        loader=FunctionLoader(load),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701
    )


def _check(directory: Path, environment: Environment) -> None:
    if not directory.is_dir():
        raise PromptsError(f"There is no folder {directory} with prompts.")
    known = {name.removesuffix(".md"): names for name, names in _own()}
    for file in sorted(directory.rglob("*.md")):
        name = file.relative_to(directory).as_posix().removesuffix(".md")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0)[0]
            raise PromptsError(f"{file} replaces no prompt. Did you mean {near}.md?")
        used = _names(environment, f"{name}.md", file)
        if unknown := sorted(used - known[name]):
            raise PromptsError(
                f"{file} uses {', '.join(unknown)}, which it is not given. "
                f"It may use: {', '.join(sorted(known[name])) or 'nothing'}."
            )
        if missing := sorted(NEEDED.get(name, set()) - used):
            raise PromptsError(f"{file} does not use {', '.join(missing)}. It has to.")


def _own() -> Iterator[tuple[str, set[str]]]:
    """Yield our templates, each with the names that it is given."""
    environment, top = _ours(), Path(str(resources.files(__package__)))
    for file in sorted(top.rglob("*.md")):
        name = file.relative_to(top).as_posix()
        yield name, _names(environment, name, file)


def _names(environment: Environment, name: str, file: Path) -> set[str]:
    """Return the names that a template, and what it includes, are given from outside."""
    from jinja2 import TemplateNotFound, TemplateSyntaxError, meta

    try:
        assert environment.loader  # noqa: S101
        source = environment.loader.get_source(environment, name)[0]
        parsed = environment.parse(source)
        found = meta.find_undeclared_variables(parsed)
        for included in meta.find_referenced_templates(parsed):
            if included is not None:
                found |= _names(environment, included, file)
    except TemplateSyntaxError as error:
        raise PromptsError(f"{file}, line {error.lineno}: {error.message}.") from None
    except TemplateNotFound as error:
        raise PromptsError(f"{file} includes {error.name}, which is not there.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PromptsError(f"{file} cannot be read: {error}.") from None
    return found
