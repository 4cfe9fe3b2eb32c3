"""Tools of one's own: a typed function, or a Pydantic model with `run`."""

from __future__ import annotations

import inspect
import json
import re
import traceback
from collections.abc import Callable
from typing import Any, Optional, get_type_hints

from pydantic import BaseModel, Field, ValidationError, create_model

from reapair.sandbox.base import Sandbox, SandboxError
from reapair.tools.base import (
    Observation,
    Parameters,
    Tool,
    ToolDefinitionError,
    ToolError,
    schema,
)
from reapair.tools.observation import clip

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def tool(source: Callable[..., Any] | type[BaseModel], *, changes_files: bool = True) -> Tool[Any]:
    """Make a tool of a typed function or of a Pydantic model class that has `run`.

    Args:
        source: its docstring describes the tool, and under `Args:` each parameter (a model's fields
            may have `Field(description=...)` instead). Parameters are strings, integers, booleans,
            literals of strings, or these or None. A parameter of the type Sandbox gets the run's
            sandbox and is not shown to the model.
        changes_files: False where a call can never change the tree.

    Returns what `solve(..., tools=[...])` takes. Raises ToolDefinitionError, which says what cannot
    be offered to the model and what to write instead.
    """
    made = _FunctionTool(source, changes_files)
    if not any(info.is_required() for info in made.parameters.model_fields.values()):
        raise ToolDefinitionError(
            f"{made.name} has no required parameter: models call such tools wrongly. Give it one."
        )
    schema(made)
    return made


class _FunctionTool(Tool[Parameters]):
    """Calls the function, or the model's `run`, with what the model gave."""

    def __init__(self, source: Callable[..., Any] | type[BaseModel], changes_files: bool) -> None:
        self._source = source
        self._call: Callable[..., Any]
        if isinstance(source, type) and issubclass(source, BaseModel):
            run = getattr(source, "run", None)
            if not callable(run):
                raise ToolDefinitionError(f"{source.__name__} has no method run(self).")
            self.name = _snake(source.__name__)
            self._model: type[BaseModel] = source
            self._call = run
        else:
            self.name = getattr(source, "__name__", "")
            self._call = source
            self._model = _model_of(source, self.name)
        if not _NAME.fullmatch(self.name):
            raise ToolDefinitionError(
                f"{self.name!r} cannot be a tool's name. Use def with a name."
            )
        self.description, descriptions = _documented(source, self.name)
        self.changes_files = changes_files
        self._sandbox_names = _sandboxes(self._call, self.name)
        self.parameters = _parameters(self._model, descriptions, self.name)

    def run(self, arguments: Parameters, sandbox: Sandbox) -> Observation:
        """Call it; what it raises becomes words for the model."""
        # What the model left out takes the source's own default.
        given = {name: getattr(arguments, name) for name in arguments.model_fields_set}
        extra = dict.fromkeys(self._sandbox_names, sandbox)
        try:
            checked = self._model.model_validate(given)
            if self._call is self._source:
                return _observation(self._call(**dict(checked), **extra))
            return _observation(self._call(checked, **extra))
        except (ToolError, SandboxError):
            raise
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
            )
            raise ToolError(f"{self.name} was not called: {problems}. Mend that.") from None
        except Exception as error:
            words = clip(f"{type(error).__name__}: {error}", 1_000)
            return Observation(
                f"{self.name} failed: {words}\n"
                "Check the arguments. If they are right, go on without this tool.",
                ok=False,
                data={"traceback": traceback.format_exc()},
            )


def _observation(returned: Any) -> Observation:
    if isinstance(returned, Observation):
        return returned
    if returned is None:
        return Observation("Done.")
    if isinstance(returned, BaseModel):
        returned = returned.model_dump_json(indent=1)
    elif not isinstance(returned, str):
        returned = json.dumps(returned, ensure_ascii=False, default=str)
    return Observation(clip(returned) or "(nothing)")


def _model_of(function: Callable[..., Any], name: str) -> type[BaseModel]:
    """Return a model with the function's parameters as its fields."""
    hints = _hints(function, name)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ToolDefinitionError(f"{name} takes *{parameter.name}. Name each parameter.")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ToolDefinitionError(f"{name}: {parameter.name} must not be positional-only.")
        hint = hints.get(parameter.name)
        if hint is None:
            raise ToolDefinitionError(f"{name}: {parameter.name} has no type. Annotate it.")
        if _is_sandbox(hint):
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hint, default)
    return create_model(name or "tool", **fields)


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ToolDefinitionError(f"{name}: {error}. Import the type where the tool is.") from None


def _is_sandbox(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Sandbox)


def _sandboxes(function: Callable[..., Any], name: str) -> list[str]:
    hints = _hints(function, name)
    return [key for key, hint in hints.items() if key != "return" and _is_sandbox(hint)]


def _parameters(model: type[BaseModel], told: dict[str, str], name: str) -> type[Parameters]:
    """Return the model's fields as a tool's parameters, each described, the required first."""
    fields: dict[str, Any] = {}
    for key, info in sorted(model.model_fields.items(), key=lambda item: not item[1].is_required()):
        words = info.description or told.get(key)
        if not words:
            raise ToolDefinitionError(
                f"{name}: {key} has no description. Add a line for it under Args: in the "
                "docstring, or Field(description=...)."
            )
        default: Any = ... if info.is_required() else None
        annotation = info.annotation if info.is_required() else Optional[info.annotation]  # noqa: UP045
        fields[key] = (annotation, Field(default, description=words))
    return create_model(f"{name}_parameters", __base__=Parameters, **fields)


def _documented(source: Any, name: str) -> tuple[str, dict[str, str]]:
    """Return what a docstring says of the tool, in one paragraph, and of each parameter."""
    import docstring_parser

    inherited = isinstance(source, type) and not source.__dict__.get("__doc__")
    try:
        read = docstring_parser.parse("" if inherited else inspect.getdoc(source) or "")
    except docstring_parser.ParseError as error:
        raise ToolDefinitionError(f"{name}: its docstring cannot be read: {error}.") from None
    words = " ".join(f"{read.short_description or ''} {read.long_description or ''}".split())
    if not words:
        raise ToolDefinitionError(f"{name} has no docstring. The model needs to know what it does.")
    # A paragraph after the last parameter is not about it.
    paragraphs = {each.arg_name: (each.description or "").split("\n\n")[0] for each in read.params}
    return words, {key: " ".join(text.split()) for key, text in paragraphs.items()}


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
