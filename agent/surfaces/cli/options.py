"""Commands whose options are made from the table of settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from reapair.agent.settings.table import SETTINGS

SERVER = ("base_url", "model", "api_key")
ENVIRONMENT = ("project", "include", "setup_command", "test_command", "image", "sandbox")
LIMITS = ("max_steps", "max_minutes", "max_tokens")

Given = dict[str, Any]
"""Settings from the command line by name; None where an option was left out."""

OUTPUT = "Output"


class View(NamedTuple):
    """How a run is shown."""

    quiet: bool = False
    verbose: bool = False
    as_json: bool = False


def _flag(help_text: str, *names: str) -> Any:
    return Annotated[bool, typer.Option(*names, help=help_text, rich_help_panel=OUTPUT)]


_VIEW: dict[str, Any] = {
    "quiet": _flag("Only the verdict, and what to do.", "--quiet", "-q"),
    "verbose": _flag("Thoughts, results and what requests cost, too.", "--verbose", "-v"),
    "json": _flag("One JSON object per event.", "--json"),
}
_DEBUG = _flag("Show tracebacks.", "--debug")


def command(
    app: typer.Typer,
    name: str | None = None,
    *,
    settings: Sequence[str] = (),
    view: bool = False,
    **more: Any,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that makes a function a command of `app`.

    Args:
        app: the group it belongs to.
        name: of the command; default: the function's.
        settings: those that the command has options for; it gets them as `given`.
        view: add the options of a run's output; the command gets them as `view`.
        more: for typer.

    Every command takes `--debug`, which `main` reads.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(function, eval_str=True).parameters
        # Typer gives a command one context only.
        contexts = [name for name, each in own.items() if each.annotation is typer.Context]
        context = contexts[0] if contexts else "context"

        def run(**values: Any) -> None:
            asked = values[context]
            del values["debug"]
            if not contexts:
                del values[context]
            if settings:
                values["given"] = {name: _value(asked, name, values.pop(name)) for name in settings}
            if view:
                values["view"] = View(*(values.pop(name) for name in _VIEW))
            function(**values)

        parameters = {name: _option(name) for name in settings}
        parameters |= {name: (each.annotation, each.default) for name, each in own.items()}
        parameters |= {name: (hint, False) for name, hint in _VIEW.items() if view}
        parameters |= {"debug": (_DEBUG, False), context: (typer.Context, inspect.Parameter.empty)}
        for bundle in ("given", "view"):
            parameters.pop(bundle, None)
        run.__name__, run.__doc__ = function.__name__, function.__doc__
        run.__annotations__ = {name: hint for name, (hint, _) in parameters.items()}
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint
                )
                for name, (hint, default) in parameters.items()
            ]
        )
        app.command(name, **more)(run)
        return function

    return register


def flags_of(name: str) -> str:
    """Return the names of a setting's option, a switch's with that for off after a slash."""
    setting, words = SETTINGS[name], name.replace("_", "-")
    return setting.option or (f"--{words}/--no-{words}" if setting.kind is bool else f"--{words}")


def _option(name: str) -> tuple[Any, Any]:
    """Return the annotation and the default of a setting's option."""
    setting = SETTINGS[name]
    option = typer.Option(
        flags_of(name),
        help=setting.help,
        rich_help_panel=setting.group,
        show_default=setting.unset or True,
        metavar=setting.metavar,
    )
    return Annotated[setting.kind, option], None if setting.unset else setting.default


def _value(context: typer.Context, name: str, value: Any) -> Any:
    """Return an option's value as a setting: absolute paths, and None where it was left out."""
    source = context.get_parameter_source(name)
    if source is None or source.name != "COMMANDLINE":
        return None
    return value.absolute() if isinstance(value, Path) else value
