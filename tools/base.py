"""What a tool is, and the frozen box of tools that a run offers to the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from reapair.sandbox.base import Sandbox, SandboxError


class Parameters(BaseModel):
    """Base of every tool's parameters: flat, strings, integers and booleans only, required first.

    llama.cpp's grammar forces required arguments first and in schema order, and other types are
    re-serialised on the way, which breaks the prompt cache.
    """

    model_config = ConfigDict(extra="forbid")


class ToolDefinitionError(TypeError):
    """A tool cannot be offered to a model. The message says why and what to write instead."""


class ToolError(Exception):
    """The call could not be done. The message is what the model reads: what, why, what next."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the model reads after a call.

    `ok` is False when the call failed. `submitted` holds the summary once the model has confirmed
    its submission. `data` is for the log and the screen (test counts, changed lines), never for
    the model.
    """

    text: str
    ok: bool = True
    submitted: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


P = TypeVar("P", bound=Parameters)


class Tool(Generic[P]):
    """One tool: a name, a description, parameters and `run`.

    `changes_files` is False where a call can never change the tree. `flat` is False for the few
    tools whose form a model was trained on, which need not keep the rules of `Parameters`.
    `pinned_schema` is what is offered in place of the schema made from `parameters`.
    """

    name: str
    description: str
    parameters: type[P]
    changes_files: bool = True
    flat: ClassVar[bool] = True
    pinned_schema: dict[str, Any] | None = None

    def run(self, arguments: P, sandbox: Sandbox) -> Observation:
        """Do the call in the sandbox. Raises ToolError with words for the model."""
        raise NotImplementedError

    def restore(self, data: dict[str, Any]) -> None:
        """Take back what an earlier call's `Observation.data` says, when a run is resumed."""


class Toolbox:
    """The tools of a run, in a fixed order, with the schemas that go over the wire.

    Args:
        tools: offered to the model in this order, for the whole run.
        sandbox: returns the sandbox in use; it may be replaced during a run.

    Raises ToolDefinitionError for a tool that cannot be offered, or two of one name.
    """

    def __init__(self, tools: Sequence[Tool[Any]], sandbox: Callable[[], Sandbox]) -> None:
        names = [tool.name for tool in tools]
        for name in names:
            if names.count(name) > 1:
                raise ToolDefinitionError(f"Two tools are called {name}. Rename one.")
        self._tools = {tool.name: tool for tool in tools}
        self._sandbox = sandbox
        self.schemas: list[dict[str, Any]] = [schema(tool) for tool in tools]

    @property
    def names(self) -> list[str]:
        """Names of the tools, in the order offered."""
        return list(self._tools)

    def changes_files(self, name: str) -> bool:
        """Tell whether a call of this tool can change the tree."""
        return name in self._tools and self._tools[name].changes_files

    def restore(self, name: str, data: dict[str, Any]) -> None:
        """Give a tool back what one of its calls left in the log; calls come in their order."""
        if name in self._tools:
            self._tools[name].restore(data)

    def call(self, name: str, arguments: dict[str, Any]) -> Observation:
        """Check the arguments and run the tool; what goes wrong with either comes back as text.

        Raises SandboxError when the sandbox cannot be used any more.
        """
        tool = self._tools.get(name)
        if tool is None:
            return Observation(
                f"There is no tool {name!r}. The tools are: {', '.join(self._tools)}.", ok=False
            )
        arguments = {key: _sound(value) for key, value in arguments.items()}
        zero = [key for key, value in arguments.items() if isinstance(value, str) and "\0" in value]
        if zero:
            return Observation(f"{name} was not called: {zero[0]} holds a zero byte.", ok=False)
        try:
            parsed = tool.parameters.model_validate(arguments)
        except ValidationError as error:
            return Observation(_explain(tool, error), ok=False)
        sandbox = self._sandbox()
        try:
            observation = tool.run(parsed, sandbox)
        except ToolError as error:
            observation = Observation(str(error), ok=False)
        if sandbox.closed:
            # Whatever the tool made of a command that was cut off, it is not what the tree holds.
            raise SandboxError("It ended while a command ran in it.")
        return observation


def _sound(value: Any) -> Any:
    """Join surrogate pairs and replace lone halves, which no file and no command can hold."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


_KINDS = ("string", "integer", "boolean")


def schema(tool: Tool[Any]) -> dict[str, Any]:
    """Return the tool in OpenAI's function-calling form, with keys in a fixed order.

    Raises ToolDefinitionError where the parameters are not flat, or a required one follows others.
    """
    if tool.pinned_schema:
        return tool.pinned_schema
    raw = tool.parameters.model_json_schema()
    required: list[str] = raw.get("required", [])
    properties = {
        name: _property(tool, name, entry) for name, entry in raw.get("properties", {}).items()
    }
    if tool.flat and list(properties)[: len(required)] != required:
        raise ToolDefinitionError(f"{tool.name}: put the required parameters first.")
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": {"type": "object", "properties": properties, "required": required},
        },
    }


def _property(tool: Tool[Any], name: str, entry: dict[str, Any]) -> dict[str, Any]:
    options = [option for option in entry.get("anyOf", [entry]) if option.get("type") != "null"]
    kind = options[0].get("type")
    if tool.flat and (len(options) != 1 or kind not in _KINDS):
        raise ToolDefinitionError(
            f"{tool.name}: {name} has to be a string, an integer or a boolean: of other types "
            "models write what servers then change. Take a string, and read it in the tool."
        )
    shown = {key: options[0][key] for key in ("type", "enum", "items") if key in options[0]}
    return {**shown, "description": entry["description"]}


def _explain(tool: Tool[Any], error: ValidationError) -> str:
    """Say in one line each what is wrong with the arguments, and what the tool takes."""
    problems = [
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()
    ]
    properties = schema(tool)["function"]["parameters"]["properties"]
    takes = ", ".join(f"{name} ({entry['type']})" for name, entry in properties.items())
    return f"{tool.name} was not called: {'; '.join(problems)}. It takes: {takes}."
