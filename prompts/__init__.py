"""Every word the model reads that is not code: Markdown templates, rendered with Jinja."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render"]


def render(name: str, /, **values: object) -> str:
    """Render the template `name` (without `.md`).

    Raises jinja2.UndefinedError for a variable that was not given, jinja2.TemplateNotFound for an
    unknown name. Values are inserted as they are: they are data, never templates.
    """
    return _environment().get_template(f"{name}.md").render(values)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def load(name: str) -> str | None:
        file = resources.files(__package__) / name
        return file.read_text("utf-8") if file.is_file() else None

    return Environment(  # Markdown for a model: nothing here is HTML.
        loader=FunctionLoader(load),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701
    )
