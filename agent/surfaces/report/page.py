"""Renders one self-contained HTML page from data. Everything in the data may be hostile."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reapair.agent.words.terminal_safe import visible

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent / "templates"


def render(template: Path, **facts: Any) -> str:
    """Return a page as text.

    Args:
        template: a file that extends `base.html`, which brings style, script and the policy that
            forbids everything else.
        facts: what the template speaks of. Text in it is escaped, and control, direction and
            invisible characters are shown by name; only `markupsafe.Markup` is taken as it is.
    """
    style, script = (HERE / "style.css").read_text("utf-8"), (HERE / "script.js").read_text("utf-8")
    policy = (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    from markupsafe import Markup

    # Both are files of ours, and the policy names them by their hashes.
    ours = {"style": Markup(style), "script": Markup(script), "policy": policy}  # noqa: S704
    return _environment(template.parent).get_template(template.name).render(**facts, **ours)


@cache
def _environment(folder: Path) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader([folder, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: Any) -> Any:
    """Make text that goes into a page harmless; autoescape does the rest."""
    from markupsafe import Markup

    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _source(text: str) -> str:
    """Name an inline style or script to the policy by its hash."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
